"""`wavevae encode`: writes the latents of a sound file."""

from __future__ import annotations

from pathlib import Path

from wavevae.cli import Parser, parse_sample_rate

from .label_options import add_label_options, set_labels, warn_unlabelled


def main(argv: list[str]) -> int:
    """Entry point of `wavevae encode`."""
    parser = Parser(
        "encode",
        "Write the latents of a sound: .npy, frames x latent_dim, in the model's own units: standard deviations of "
        "the training data; an instrument's pitch in MIDI, loudness in dB, periodicity from 0 to 1. "
        "Frame k comes from the samples up to (k + 1) x hop_length, as in streaming.",
        "  wavevae encode mine.ts voice.wav -o voice.npy\n"
        "  wavevae render mine.ts --latents voice.npy -o voice-as-mine.wav\n"
        "  wavevae encode tokens.ts voice.wav --codes -o codes.npy      then render --codes plays them",
    )
    parser.add_argument(
        "model", metavar="MODEL.ts", type=Path, help="of `wavevae export`, or any file that nn~ plays"
    )
    parser.add_argument("input", metavar="IN.wav", type=Path, help="any sound file; its rate is converted")
    parser.add_argument("-o", "--out", metavar="Z.npy", type=Path, required=True, help="where to write")
    parser.add_argument(
        "--sr", type=parse_sample_rate, metavar="HZ", help="rate of a file that does not say its own"
    )
    parser.add_argument(
        "--codes",
        action="store_true",
        help="codes of a vq or rvq model instead: frames x codebooks, whole numbers; an instrument's controls first",
    )
    add_label_options(parser)
    arguments = parser.parse_args(argv)

    from wavevae.console import SoundProgress

    from ..engine.streaming_model import CodesModel, StreamingModel
    from ..model_info import describe
    from .latent_files import latent_writer
    from .render_sources import encode_file, length_at, load_offline

    bundle = load_offline(arguments.model, arguments.sr)
    core = StreamingModel(bundle)
    kind = "<f4"
    if arguments.codes:
        core = coded = CodesModel(bundle)
        kind = coded.kind
    model = describe(bundle)
    set_labels(core, model, arguments)
    warn_unlabelled(model, arguments)
    total = length_at(arguments.input, bundle.info.sample_rate)
    progress = SoundProgress("encoding", total, bundle.info.sample_rate)
    with latent_writer(arguments.out, core.latent_dim, kind) as out:
        for samples, frames in encode_file(core, arguments.input):
            out.write(core.units.of_file(frames))
            progress.add(samples)
    progress.end(
        f"wrote {arguments.out}: {out.frames} frames x {core.latent_dim} at "
        f"{bundle.info.frame_rate:.2f} frames/s; {progress.speed:.0f}x real time"
    )
    return 0
