"""Every option of the command line, defined once as an annotated alias, and the groups that commands take.

Values arrive as text, None where nothing was said; the recipe checks them. Knows no command and no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from . import recipe

Text = str | None
Texts = list[str] | None
Switch = bool | None


def _option(panel: str, names: str, help: str, metavar: str = "", **more: Any) -> Any:
    """An option; of several long names the first is shown and the others are hidden aliases."""
    return typer.Option(
        *names.split(),
        metavar=metavar or None,
        help=help,
        rich_help_panel=panel,
        show_default=False,
        **more,
    )


def _complete(*names: str) -> Callable[[], list[str]]:
    return lambda: list(names)


def _samplers() -> list[str]:
    from models.diffusion.names import SAMPLER_NAMES

    return list(SAMPLER_NAMES)


def _stg_modes() -> list[str]:
    from models.diffusion.names import STG_MODES

    return list(STG_MODES)


Prompt = Annotated[
    Text,
    typer.Argument(metavar="PROMPT", help="What to show; - reads it from standard input, @FILE from a file."),
]

Image = Annotated[Text, typer.Argument(metavar="IMAGE", help="The picture that the clip begins with.")]
Video = Annotated[Text, typer.Argument(metavar="VIDEO", help="A video, a GIF, or a folder of frames.")]

_entering = partial(_option, "What enters")
PromptOption = Annotated[
    Text,
    _entering(
        "--prompt -p", "What it shows, for the model; - and @FILE as for PROMPT. Default: as in the file.", "TEXT"
    ),
]
LastImage = Annotated[Text, _entering("--last-image", "The picture that the clip ends with.", "FILE")]
ImageAt = Annotated[
    Texts,
    _entering(
        "--image-at --video-at",
        "A picture, or a clip that begins, at a frame, -1 the last one; repeatable. A strength of 1 holds it, 0 "
        "ignores it. Default: 1.",
        "FRAME:FILE[:STRENGTH]",
    ),
]
Mask = Annotated[
    Text,
    _entering(
        "--mask",
        "A picture or a video, white where the video is to be made anew; the rest is kept. VACE models.",
        "FILE",
    ),
]
Control = Annotated[
    Text, _entering("--control", "A video of depth, poses, lines … that guides the motion. VACE models.", "FILE")
]
ControlScale = Annotated[
    Text, _entering("--control-scale", "How strongly what is kept or guides is followed. Default: 1.", "X")
]
Reference = Annotated[
    Texts, _entering("--reference", "A picture of what shall appear; repeatable. VACE models.", "FILE")
]
Strength = Annotated[
    Text,
    _entering("--strength", "How much is made anew: 0 gives the video back, 1 ignores it. Default: 0.6.", "0..1"),
]
Fit = Annotated[
    Text,
    _entering(
        "--fit",
        "How a picture or a clip is brought to the size: cover crops it, contain puts bars round it, stretch bends it. "
        "Default: cover.",
        "HOW",
        autocompletion=_complete(*recipe.FITS),
    ),
]
Background = Annotated[
    Text, _entering("--background", "Colour behind transparent pixels and of bars. Default: black.", "COLOUR")
]
Before = Annotated[
    Switch,
    _entering("--before/--no-before", "Add what came before the video, instead of what follows. Default: no."),
]
Audio = Annotated[Switch, _entering("--audio/--no-audio", "Keep the sound of the video. Default: yes.")]
Factor = Annotated[Text, _entering("--factor", "So many times as many frames. Default: 2.", "N")]
Scale = Annotated[Text, _entering("--scale", "So many times as wide and as high. Default: 2.", "N")]
Method = Annotated[
    Text,
    _entering(
        "--method",
        "latent: the model's own stage. interpolate: flow; upscale: lanczos. Default: latent for a file that the "
        "model made.",
        "NAME",
        autocompletion=_complete("latent", "flow", "lanczos"),
    ),
]

_model = partial(_option, "Model")
Model = Annotated[
    Text,
    _model(
        "--model -m",
        "A catalogue name, a diffusers folder or a safetensors file. Default: nano, which is embedded.",
        "NAME|PATH",
    ),
]
TextEncoder = Annotated[Text, _model("--text-encoder", "The text encoder from another place.", "PATH")]
ImageEncoder = Annotated[Text, _model("--image-encoder", "The image encoder from another place.", "PATH")]
Transformer2 = Annotated[
    Text, _model("--transformer-2", "The network for little noise, where a model has two, from another place.", "PATH")
]
Upsampler = Annotated[
    Text, _model("--upsampler", "Another model, whose stages enlarge what this one has made.", "NAME|PATH")
]
Preset = Annotated[Text, _model("--preset", "A named set of the model's values: see vgen models show NAME.", "NAME")]
Vae = Annotated[Text, _model("--vae", "The autoencoder from another place.", "PATH")]
TemporalUpsampler = Annotated[Text, _model("--temporal-upsampler", "The one that makes more frames.", "PATH")]
SpatialUpsampler = Annotated[Text, _model("--spatial-upsampler", "The one that makes more pixels.", "PATH")]
Lora = Annotated[
    Texts,
    _model(
        "--lora",
        "Change the model by a LoRA, so strongly; repeat it for several. Where a model has two transformers, high=PATH "
        "or low=PATH is for one of them, as a file's name may be too.",
        "PATH[:SCALE]",
    ),
]
Compat = Annotated[
    Text,
    _model(
        "--compat",
        "Where the official code and diffusers disagree, do as diffusers does.",
        "diffusers",
        autocompletion=_complete(*recipe.COMPATS),
    ),
]

_size = partial(_option, "Size and length")
Width = Annotated[Text, _size("--width -W", "Width of the file in pixels. Default: the model's.", "N")]
Height = Annotated[Text, _size("--height -H", "Height of the file in pixels. Default: the model's.", "N")]
Size = Annotated[Text, _size("--size", "Both at once: 1280x720, 1280*720, 720p, 1080p.", "WxH")]
NumFrames = Annotated[Text, _size("--num-frames --frames", "Frames of the file. Default: the model's.", "N")]
Duration = Annotated[Text, _size("--duration", "Length of the file, instead of --num-frames.", "SECONDS")]
Fps = Annotated[
    Text,
    _size(
        "--fps",
        "Rate of the file: 24, 23.976, 24000/1001; the motion keeps its speed. Default: the model's.",
        "R",
    ),
]

_sampling = partial(_option, "Sampling")
NegativePrompt = Annotated[Text, _sampling("--negative-prompt -n", "What not to show. Default: the model's.", "TEXT")]
Steps = Annotated[
    Text,
    _sampling("--steps --num-inference-steps", "Denoising steps of the base stage. Default: the model's.", "N"),
]
GuidanceScale = Annotated[
    Text,
    _sampling("--guidance-scale -g --cfg-scale", "How closely to follow the prompt. Default: the model's.", "X"),
]
GuidanceScale2 = Annotated[
    Text,
    _sampling(
        "--guidance-scale-2", "The same for little noise, of models with two networks. Default: the model's.", "X"
    ),
]
GuidanceRescale = Annotated[
    Text,
    _sampling(
        "--guidance-rescale",
        "Keep guidance to the spread of what the prompt alone gives: 0 not at all, 1 wholly. Default: the model's.",
        "0..1",
    ),
]
StgScale = Annotated[
    Text,
    _sampling(
        "--stg-scale",
        "How far from what the model makes with some layers left out (spatio-temporal guidance); 0 leaves it out. "
        "Default: the model's.",
        "X",
    ),
]
StgLayers = Annotated[
    Text,
    _sampling(
        "--stg-layers --stg-blocks --skip-block-list", "Those layers, from 0: 11,25,35. Default: the model's.", "N,…"
    ),
]
StgMode = Annotated[
    Text,
    _sampling(
        "--stg-mode",
        "What of them: attention_values, attention_skip, residual or transformer_block. Default: the model's.",
        "NAME",
        autocompletion=_stg_modes,
    ),
]
DecodeTimestep = Annotated[
    Text,
    _sampling("--decode-timestep", "How noisy the decoder is told the result is. Default: the model's.", "0..1"),
]
DecodeNoiseScale = Annotated[
    Text,
    _sampling("--decode-noise-scale", "Noise mixed into the result before the decoder. Default: the model's.", "0..1"),
]
ImageCondNoiseScale = Annotated[
    Text,
    _sampling(
        "--image-cond-noise-scale",
        "Noise on pictures that are held, anew at every step: more lets them move. Default: the model's.",
        "X",
    ),
]
ImageCrf = Annotated[
    Text,
    _sampling(
        "--image-crf",
        "Compress pictures and clips once as they enter, as film is: higher lets them move more, 0 leaves them. "
        "Default: the model's.",
        "N",
    ),
]
FlowShift = Annotated[Text, _sampling("--flow-shift", "Shift of the noise schedule. Default: the model's.", "X")]
Sampler = Annotated[
    Text,
    _sampling("--sampler", "euler, heun, dpmpp_2m, unipc, … Default: the model's.", "NAME", autocompletion=_samplers),
]
Seed = Annotated[
    Texts,
    _sampling("--seed -s", "Seed of the noise; repeat it for several clips. Default: random, and printed.", "N"),
]
NumClips = Annotated[Text, _sampling("--num-clips -N", "That many clips with successive seeds. Default: 1.", "N")]
TemporalUpsample = Annotated[
    Text,
    _sampling("--temporal-upsample", "Factor of the stage that makes more frames; 1 leaves it out.", "N"),
]
SpatialUpsample = Annotated[
    Text,
    _sampling("--spatial-upsample", "Factor of the stage that makes more pixels; 1 leaves it out.", "N"),
]

Draft = Annotated[
    Switch,
    _sampling(
        "--draft/--no-draft",
        "The base stage alone, small and quick; its latents are kept, and vgen promote makes the rest of it. "
        "Default: no.",
    ),
]

_output = partial(_option, "Output")
Output = Annotated[
    Text,
    _output(
        "--output -o",
        "A .mp4, .mkv, .webm, .mov or .gif file, a folder ending in / for PNG frames, - for standard output. "
        "Default: named after the prompt and the seed.",
        "PATH",
    ),
]
Overwrite = Annotated[Switch, _output("--overwrite/--no-overwrite", "Replace a file that exists. Default: no.")]
Metadata = Annotated[Switch, _output("--metadata/--no-metadata", "Keep the recipe in the file. Default: yes.")]

_encoding = partial(_option, "Encoding")
Bitrate = Annotated[Text, _encoding("--bitrate", "Bits a second, met within 5 %.", "8M")]
Crf = Annotated[Text, _encoding("--crf", "Constant quality; lower is better. Default: one that looks clean.", "N")]
TargetSize = Annotated[Text, _encoding("--target-size", "Size of the file.", "8MB")]
Codec = Annotated[
    Text,
    _encoding(
        "--codec",
        "h264, h265, av1, vp9 or ffv1. Default: h264 (vp9 in .webm).",
        "NAME",
        autocompletion=_complete(*recipe.CODECS),
    ),
]
EncoderPreset = Annotated[
    Text, _encoding("--encoder-preset", "Effort of the encoder: ultrafast … medium … veryslow.", "NAME")
]
PixFmt = Annotated[Text, _encoding("--pix-fmt", "Pixel format. Default: yuv420p.", "NAME")]

_machine = partial(_option, "Machine")
Device = Annotated[
    Text,
    _machine(
        "--device",
        "auto, cuda, cuda:1, mps or cpu. Default: auto; what was chosen is printed.",
        "NAME",
        autocompletion=_complete("auto", "cuda", "mps", "cpu"),
    ),
]
Dtype = Annotated[
    Text,
    _machine(
        "--dtype",
        "auto, bfloat16, float16 or float32. Default: auto.",
        "NAME",
        autocompletion=_complete(*recipe.DTYPES),
    ),
]
Offload = Annotated[
    Text,
    _machine(
        "--offload",
        "auto, none, model or block: what leaves the device while it rests. Default: auto.",
        "HOW",
        autocompletion=_complete(*recipe.OFFLOADS),
    ),
]
MaxVram = Annotated[Text, _machine("--max-vram", "Device memory to stay below.", "GiB")]
Compile = Annotated[
    Switch,
    _machine("--compile/--no-compile", "Compile the transformer first: slower to start, then faster. Default: no."),
]
VaeTiling = Annotated[
    Switch,
    _machine("--vae-tiling/--no-vae-tiling", "Decode in tiles, for less memory. Default: where needed."),
]
Fallback = Annotated[
    Switch,
    _machine(
        "--fallback/--no-fallback",
        "Where memory runs out, run that stage again with less, and say so; else fail. Default: yes.",
    ),
]

_shell = partial(_option, "Shell")
Config = Annotated[
    Text, _shell("--config", "Options from a TOML file, such as `steps = 20`; the command line wins.", "FILE")
]
DryRun = Annotated[Switch, _shell("--dry-run", "Print the plan and stop.")]
Json = Annotated[Switch, _shell("--json", "Print JSON, one object a line.")]
Quiet = Annotated[Switch, _shell("--quiet -q", "No progress and no notes; errors only.")]
Verbose = Annotated[Switch, _shell("--verbose -v", "Say more about every stage.")]
Debug = Annotated[Switch, _shell("--debug", "Show the traceback of an error.")]


@dataclass(frozen=True)
class FitOptions:
    """How pictures and clips are brought to a size."""

    fit: Fit = None
    background: Background = None


@dataclass(frozen=True)
class ModelOptions:
    """Which weights."""

    model: Model = None
    text_encoder: TextEncoder = None
    image_encoder: ImageEncoder = None
    transformer_2: Transformer2 = None
    vae: Vae = None
    temporal_upsampler: TemporalUpsampler = None
    spatial_upsampler: SpatialUpsampler = None
    upsampler: Upsampler = None
    lora: Lora = None
    preset: Preset = None
    compat: Compat = None


@dataclass(frozen=True)
class SizeOptions:
    """Shape, length and rate of the file."""

    width: Width = None
    height: Height = None
    size: Size = None
    num_frames: NumFrames = None
    duration: Duration = None
    fps: Fps = None


@dataclass(frozen=True)
class SamplingOptions:
    """What the cascade is told."""

    negative_prompt: NegativePrompt = None
    steps: Steps = None
    guidance_scale: GuidanceScale = None
    guidance_scale_2: GuidanceScale2 = None
    guidance_rescale: GuidanceRescale = None
    stg_scale: StgScale = None
    stg_layers: StgLayers = None
    stg_mode: StgMode = None
    decode_timestep: DecodeTimestep = None
    decode_noise_scale: DecodeNoiseScale = None
    image_cond_noise_scale: ImageCondNoiseScale = None
    image_crf: ImageCrf = None
    flow_shift: FlowShift = None
    sampler: Sampler = None
    temporal_upsample: TemporalUpsample = None
    spatial_upsample: SpatialUpsample = None
    draft: Draft = None
    seed: Seed = None
    num_clips: NumClips = None


@dataclass(frozen=True)
class OutputOptions:
    """Where the file goes."""

    output: Output = None
    overwrite: Overwrite = None
    metadata: Metadata = None


@dataclass(frozen=True)
class EncodingOptions:
    """How the file is encoded."""

    bitrate: Bitrate = None
    crf: Crf = None
    target_size: TargetSize = None
    codec: Codec = None
    encoder_preset: EncoderPreset = None
    pix_fmt: PixFmt = None


@dataclass(frozen=True)
class MachineOptions:
    """Where it runs."""

    device: Device = None
    dtype: Dtype = None
    offload: Offload = None
    max_vram: MaxVram = None
    vae_tiling: VaeTiling = None
    fallback: Fallback = None
    compile: Compile = None


@dataclass(frozen=True)
class ShellOptions:
    """What a making command tells and how."""

    config: Config = None
    dry_run: DryRun = None
    json: Json = None
    quiet: Quiet = None
    verbose: Verbose = None
    debug: Debug = None
