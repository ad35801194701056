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


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("high=a.safetensors", Lora("a.safetensors", 1, "high")),
        ("low=styles/a.safetensors:1.5", Lora("styles/a.safetensors", 1.5, "low")),
        (" HIGH = C:\\a.safetensors : 3", Lora("C:\\a.safetensors", 3, "high")),
        ("high=low=a", Lora("low=a", 1, "high")),
        ("./high=a:0.5", Lora("./high=a", 0.5)),
        ("higher=a", Lora("higher=a")),
        ("a:0.5:2", Lora("a:0.5", 2)),
    ],
)
def test_an_expert_of_two(text, made):
    assert lora(text) == made
    assert lora(str(made)) == made


@pytest.mark.parametrize("text", ["", ":0.5", " ", None, 3, "a:101", "a:-1e9", "high=", "low=:0.5", "high= :1"])
def test_what_is_none(text):
    with pytest.raises(UsageError):
        lora(text)


@given(
    st.sampled_from(["", "high=", "low=", "High = "]),
    st.text(st.sampled_from("abz:/.=\\ 019-highlow"), min_size=1, max_size=14),
    st.none() | st.floats(-100, 100),
)
def test_there_and_back(expert, path, scale):
    """Whatever is read is written so that it is read again; nothing of a path is lost."""
    given_text = f"{expert}{path}" + ("" if scale is None else f":{scale!r}")
    try:
        made = lora(given_text)
    except UsageError:
        return
    assert lora(str(made)) == made
    if scale is not None:
        assert made.scale == scale
    if expert:
        assert made.expert == expert.strip(" =").lower()
    assert made.path in given_text
