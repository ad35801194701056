import pytest
from hypothesis import given
from hypothesis import strategies as st

from vgen_cli.errors import UsageError
from vgen_cli.loras import Lora, lora


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("a.safetensors", "a.safetensors", 1),
        ("a.safetensors:0.8", "a.safetensors", 0.8),
        ("a.safetensors:-1", "a.safetensors", -1),
        ("C:\\styles\\a.safetensors", "C:\\styles\\a.safetensors", 1),
        ("C:\\a.safetensors:.5", "C:\\a.safetensors", 0.5),
        ("styles:1/a.safetensors", "styles:1/a.safetensors", 1),
        (" a b.safetensors : 2e-1 ", "a b.safetensors", 0.2),
    ],
)
def test_a_path_and_its_scale(text, path, scale):
    assert lora(text) == Lora(path, scale)


@pytest.mark.parametrize("text", ["", ":0.5", " ", None, 3, "a:101", "a:-1e9"])
def test_what_is_none(text):
    with pytest.raises(UsageError):
        lora(text)


@given(st.from_regex(r"[a-z:/.]{0,8}[a-z]", fullmatch=True), st.floats(-100, 100))
def test_there_and_back(path, scale):
    made = lora(f"{path}:{scale!r}")
    assert made == Lora(path, scale)
    assert lora(str(made)).path == path
