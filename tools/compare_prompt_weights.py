"""Compare prompt weights with other programs: `python tools/compare_prompt_weights.py`.

Prints how far and in what direction each way of weighing moves the embeddings of a prompt, on the
pack's text encoder and, with `--vocabulary`, on one of Stable Diffusion's size with random weights
and CLIP's real vocabulary (`pip download --no-deps open_clip_torch` fetches a wheel that has it).
compel is compared where it is installed (`pip install compel pyparsing`). `--paint 4` also paints
four portraits with a weighted colour by the pack, weighted each way.

The other programs' formulas are written anew here: AUTOMATIC1111's web UI multiplies the embeddings
of each token by its weight and restores the mean of each window; diffusers' community pipeline
`lpw_stable_diffusion` restores the mean over all windows, which it cuts after 75 tokens each.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Studio  # noqa: E402
from inference.catalog.catalog import Catalog  # noqa: E402
from inference.painting.prompt_embeddings import PromptEncoder  # noqa: E402
from inference.recipe.prompt_weights import Weighting, parse_weights  # noqa: E402
from inference.runtime.memory import ModelOffloader  # noqa: E402
from tools.evaluation import prompt as prompt_part  # noqa: E402
from tools.evaluation.bench import Bench, sitter  # noqa: E402

PACK = ROOT / "assets" / "pack" / "painter"
CPU = torch.device("cpu")
ROOM = 75
THREADS = 2
LONG = ", ".join(["portrait of a person in a garden with flowers and trees on a sunny day"] * 7)
CASES = {
    "1.1": "portrait of a person wearing a (red:1.1) coat, beach",
    "1.3": "portrait of a person wearing a (red:1.3) coat, beach",
    "1.5": "portrait of a person wearing a (red:1.5) coat, beach",
    "0.7": "portrait of a person wearing a (red:0.7) coat, beach",
    "[de-emphasis]": "portrait of a person wearing a [red] coat, beach",
    "nested 1.2 × 1.3": "portrait of a person (wearing a (red:1.3) coat:1.2), beach",
    "negative prompt": "(text:1.3), watermark, (cropped:1.1)",
    "over 77 tokens": f"{LONG}, a (red:1.3) coat",
    "escaped brackets": r"portrait of a person wearing a \(red\) coat, beach",
    "BREAK": "portrait of a person BREAK wearing a (red:1.3) coat, beach",
}
#: Embeddings of a prompt, (tokens, width).
Way = Callable[[str], torch.Tensor]


def byte_letters() -> list[str]:
    """The letters of CLIP's byte-level vocabulary, in its order (Radford et al. 2019)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(one) for one in printable] + [chr(256 + k) for k in range(len(others))]


def clip_tokenizer(wheel: Path, folder: Path) -> CLIPTokenizerFast:
    """CLIP's tokenizer from the vocabulary in a wheel of open_clip_torch."""
    packed = zipfile.ZipFile(wheel).read("open_clip/bpe_simple_vocab_16e6.txt.gz")
    merges = gzip.decompress(packed).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = byte_letters()
    names = [*letters, *(one + "</w>" for one in letters), *("".join(m.split()) for m in merges)]
    ids = {name: k for k, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    return CLIPTokenizerFast.from_pretrained(folder, pad_token="<|endoftext|>", model_max_length=77)


def full_size_encoder() -> CLIPTextModel:
    """CLIP ViT-L/14's text encoder with random weights.

    The bias of its last norm is moved by -0.1: with random weights the mean that is restored would
    be zero but for rounding.
    """
    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
        num_attention_heads=12, projection_dim=768, bos_token_id=49406, eos_token_id=49407,
    )  # fmt: skip
    model = CLIPTextModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("final_layer_norm.bias"):
                parameter -= 0.1
    return model


def encode(pipe: Any, ids: list[int]) -> torch.Tensor:
    """Embeddings of one window of at most 75 tokens, (77, width)."""
    names = pipe.tokenizer
    padding = [names.pad_token_id] * (ROOM - len(ids))
    window = [names.bos_token_id, *ids, names.eos_token_id, *padding]
    with torch.inference_mode():
        return torch.as_tensor(pipe.text_encoder(torch.tensor([window]))[0][0])


def scaled_windows(pipe: Any, windows: list[list[tuple[int, float]]], *, whole: bool) -> Any:
    """Windows of tokens with weights, scaled, with the mean of each or of the whole restored."""
    plain = [encode(pipe, [token for token, _ in window]) for window in windows]
    weighed = []
    for embeddings, window in zip(plain, windows, strict=True):
        factors = torch.ones(len(embeddings), 1)
        factors[1 : len(window) + 1, 0] = torch.tensor([weight for _, weight in window])
        weighed.append(embeddings * factors)
    if whole:
        together, before = torch.cat(weighed), torch.cat(plain)
        return together * (before.mean() / together.mean())
    both = zip(plain, weighed, strict=True)
    return torch.cat([after * (before.mean() / after.mean()) for before, after in both])


def web_ui_windows(encoder: PromptEncoder, text: str) -> list[list[tuple[int, float]]]:
    """The windows, as our own encoder cuts them: after a comma, and at a BREAK."""
    windows, _ = encoder._windows(parse_weights(text), use_lpw=True)
    return [[(token.id, token.weight) for token in window] for window in windows]


def lpw_windows(encoder: PromptEncoder, text: str) -> list[list[tuple[int, float]]]:
    """The windows of `lpw`, which knows no BREAK: 75 tokens each."""
    tokens = [one for window in web_ui_windows(encoder, text) for one in window]
    return [tokens[k : k + ROOM] for k in range(0, max(len(tokens), 1), ROOM)]


def compel_way(pipe: Any) -> Way | None:
    """compel's embeddings; None where it is not installed."""
    try:
        from compel import Compel
    except ImportError:
        print("compel is not compared: pip install compel pyparsing\n")
        return None
    made = Compel(pipe.tokenizer, pipe.text_encoder, truncate_long_prompts=False)

    def read(text: str) -> torch.Tensor:
        parts = ((one.text.replace("(", r"\(").replace(")", r"\)"), one.weight)
                 for one in parse_weights(text))  # fmt: skip
        written = (t if w == 1 else f"({t}){w:.6g}" for t, w in parts)
        with torch.inference_mode():
            return torch.as_tensor(made("".join(written))[0])

    return read


def ways(pipe: Any) -> dict[str, Way]:
    """Each way of weighing by its name; ours first."""
    loras: Any = SimpleNamespace(key="")

    def ours(weighting: Weighting) -> PromptEncoder:
        return PromptEncoder(pipe, loras, ModelOffloader(CPU), weighting)

    scaled, extrapolated = ours("scaled"), ours("extrapolated")

    def read(encoder: PromptEncoder) -> Way:
        def embeddings(text: str) -> torch.Tensor:
            with torch.inference_mode():
                return encoder.encode(text, "", use_lpw=True)[0][0]

        return embeddings

    found: dict[str, Way] = {
        "ours, scaled": read(scaled),
        "ours, extrapolated": read(extrapolated),
        "web UI": lambda text: scaled_windows(pipe, web_ui_windows(scaled, text), whole=False),
        "lpw": lambda text: scaled_windows(pipe, lpw_windows(scaled, text), whole=True),
    }
    compel = compel_way(pipe)
    return found if compel is None else {**found, "compel": compel}


def unweighted(text: str) -> str:
    """The same words without weights; brackets that are words stay escaped."""
    parts = parse_weights(text)
    words = (f"{' BREAK ' if one.starts_window else ''}{one.text}" for one in parts)
    return "".join(words).replace("(", r"\(").replace(")", r"\)")


def cosine(one: torch.Tensor, other: torch.Tensor) -> float | None:
    """Cosine between two changes; None where there is none or the windows differ."""
    if one.shape != other.shape or not one.any() or not other.any():
        return None
    return float(torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0))


def compared(pipe: Any) -> Iterator[list[str]]:
    """Rows of the table: a case, and for each way the size of the change that it makes.

    In brackets: the cosine between that change and the web UI's, and compel's.
    """
    every = ways(pipe)
    yield ["weight", *every]
    for name, text in CASES.items():
        changes = {}
        for way, read in every.items():
            plain = read(unweighted(text)).float()
            changes[way] = (read(text).float() - plain, float(plain.norm()))
        references = [changes[one][0] for one in ("web UI", "compel") if one in changes]
        cells = []
        for change, norm in changes.values():
            along = ("–" if (one := cosine(change, other)) is None else f"{one:.2f}"
                     for other in references)  # fmt: skip
            cells.append(f"{100 * float(change.norm()) / norm:.2f} % ({', '.join(along)})")
        yield [name, *cells]


def paint(count: int) -> Iterator[list[str]]:
    """Rows of the table: redness of the clothes by weight, for each way, painted by the pack."""
    weights = (0.4, 0.7, 1.0, 1.1, 1.3, 1.6)
    yield ["redness by weight", *(f"{weight:g}" for weight in weights)]
    for weighting in ("scaled", "extrapolated"):
        with tempfile.TemporaryDirectory() as folder:
            laid_over = Path(folder) / "catalog.toml"
            laid_over.write_text(f'[families.pack]\nweighting = "{weighting}"\n', "utf-8")
            bench = Bench(Studio(catalog=Catalog.load(laid_over), style="drawn"))
        cells = []
        for weight in weights:
            words = f"portrait of a person wearing a (red:{weight}) coat, beach"
            found = []
            for k in range(count):
                recipe = prompt_part.recipe(k, prompt=words, steps=6)
                red, green, blue = prompt_part.mean_colour(
                    bench, bench.paint(sitter(k).image, recipe)
                )
                found.append(float(red - (green + blue) / 2))
            cells.append(f"{np.mean(found):.0f}")
        yield [weighting, *cells]


def show(title: str, rows: Iterator[list[str]]) -> None:
    """Print a Markdown table."""
    print(f"{title}\n")
    for k, row in enumerate(rows):
        print(f"| {' | '.join(row)} |", flush=True)
        if k == 0:
            print("|---" * len(row) + "|")
    print()


def main() -> None:
    """Compare on the encoders that the arguments select, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=Path, help="a wheel of open_clip_torch")
    parser.add_argument("--paint", type=int, default=0, help="how many portraits to paint")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    pack = StableDiffusionInpaintPipeline.from_pretrained(
        PACK, safety_checker=None, requires_safety_checker=False, dtype=torch.float32
    )
    show("The pack's text encoder", compared(pack))
    if args.vocabulary:
        with tempfile.TemporaryDirectory() as folder:
            names = clip_tokenizer(args.vocabulary, Path(folder))
        full = SimpleNamespace(tokenizer=names, text_encoder=full_size_encoder())
        show("CLIP ViT-L/14, random weights", compared(full))
    if args.paint:
        show("Painted by the pack", paint(args.paint))


if __name__ == "__main__":
    main()
