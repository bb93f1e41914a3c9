"""The repositories of a family of the catalog, with the files that the catalog wants of them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diffusers import PNDMScheduler

from inference.catalog.catalog import FACE, Catalog, ControlModel, HubSource, Source, Style
from inference.catalog.schema import Family
from tests.support.hub_server import HubServer
from tools.full import networks
from tools.full.shelf import Shelf

# Repositories that have a half-precision twin beside their full weights; ControlNets have one too.
_HALF_TWINS = ("Lykon/dreamshaper-8", "jinaai/flat-2d-animerge")
# Repositories whose autoencoder has the names of 2022.
_OLD_NAMES = ("stabilityai/sd-vae-ft-mse", "nitrosocke/Nitro-Diffusion")

# Puts files of a shelf into a repository's folder.
Fill = Callable[[Shelf, Path], None]


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a source of the catalog takes from its repository, and how that is made."""

    source: HubSource
    fill: Fill


def make(catalog: Catalog, family: str, shelf: Shelf, root: Path) -> None:
    """Write all repositories of a family as `root/owner/name`; what is there is written anew."""
    for content in contents(catalog, family):
        content.fill(shelf, _place(root, content.source))


def serve(catalog: Catalog, family: str, root: Path, hub: HubServer) -> None:
    """Let a hub serve these repositories, each at the revision that the catalog names.

    A repository with a conversion branch has its weights only there.
    """
    sources = {content.source.repo: content.source for content in _pinned_last(catalog, family)}
    for source in sources.values():
        place, commit = _place(root, source), source.revision
        if source.conversion:
            hub.add_branch(source.repo, source.conversion, place)
            place = root / "empty"
            place.mkdir(exist_ok=True)
        hub.add(source.repo, place, commit="" if commit == "main" else commit)


def _pinned_last(catalog: Catalog, family: str) -> list[Content]:
    """The contents; of one repository, those at a commit come after those at a branch."""
    return sorted(contents(catalog, family), key=lambda content: content.source.revision != "main")


def contents(catalog: Catalog, family: str) -> Iterator[Content]:
    """What all sources of a family on the hub take."""
    found = catalog.family(family)
    wanted = [*_of_family(found)]
    for style in catalog.styles(family):
        wanted += _of_style(style)
    faces = [catalog.control(family, FACE)] if found.face is not None else []
    for control in (*catalog.controls(family), *faces):
        wanted += _of_control(control)
    for lora in found.loras.values():
        wanted.append((lora.source, lambda shelf, at, file=lora.file: shelf.put_lora(at / file)))
    for source, fill in wanted:
        if isinstance(source, HubSource):
            yield Content(source=source, fill=fill)


def _place(root: Path, source: HubSource) -> Path:
    return root / source.repo


def _of_family(family: Family) -> Iterator[tuple[Source | None, Fill]]:
    yield family.segmenter, _segmenter
    for kind in ("point_segmenter", "pose", "enlarger", "depth", "rooms", "checker"):
        yield getattr(family, kind), _network(kind)
    yield family.configs, partial(_configs, channels=4)
    if importlib.util.find_spec("onnx") is not None:
        yield family.restorer, _restorer


def _of_style(style: Style) -> Iterator[tuple[Source | None, Fill]]:
    repo = getattr(style.base, "repo", "")
    files = getattr(style.base, "files", ())
    has_vae = any(pattern.startswith("vae/") for pattern in files)

    def fill(shelf: Shelf, folder: Path) -> None:
        is_twin = repo in _HALF_TWINS
        shelf.put_network("unet", folder / "unet", is_twin=is_twin)
        shelf.put_network("text_encoder", folder / "text_encoder", is_twin=is_twin)
        if has_vae:
            shelf.put_network(_vae_of(repo), folder / "vae", is_twin=is_twin)
        shelf.put_tokenizer(folder / "tokenizer")
        _save_pipeline_configs(folder)

    yield style.base, fill
    yield style.vae, _network(_vae_of(getattr(style.vae, "repo", "")))
    twin = style.inpainting
    if twin is not None and twin.checkpoint is not None:
        yield twin.base, lambda shelf, at: shelf.put_checkpoint(at / twin.checkpoint, channels=9)
        yield twin.configs, partial(_configs, channels=9)


def _of_control(control: ControlModel) -> Iterator[tuple[Source | None, Fill]]:
    adapter = control.adapter
    if adapter is None:
        yield control.source, _network("controlnet", is_twin=True)
        return
    file, is_plus, encoder = adapter.file, "plus" in adapter.file, adapter.encoder_folder
    yield control.source, lambda shelf, at: shelf.put_adapter(at / file, is_plus=is_plus)
    yield adapter.encoder, lambda shelf, at: shelf.put_network("image_encoder", at / encoder)


def _network(kind: str, *, is_twin: bool = False) -> Fill:
    return lambda shelf, folder: shelf.put_network(kind, folder, is_twin=is_twin)


def _segmenter(shelf: Shelf, folder: Path) -> None:
    shelf.put_network("segmenter", folder)
    shelf.put_tokenizer(folder)


def _configs(shelf: Shelf, folder: Path, channels: int) -> None:
    """A pipeline without weights, whose UNet has so many input channels."""
    shelf.put_config("unet", folder / "unet", in_channels=channels)
    shelf.put_config("vae", folder / "vae")
    shelf.put_config("text_encoder", folder / "text_encoder")
    shelf.put_tokenizer(folder / "tokenizer")
    _save_pipeline_configs(folder)


def _vae_of(repo: str) -> str:
    return networks.LEGACY_VAE if repo in _OLD_NAMES else "vae"


def _save_pipeline_configs(folder: Path) -> None:
    """The scheduler and the index of a pipeline without a safety checker."""
    PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        skip_prk_steps=True, steps_offset=1,
    ).save_pretrained(folder / "scheduler")  # fmt: skip
    networks.save_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.20.0",
            "feature_extractor": [None, None],
            "safety_checker": [None, None],
            "scheduler": ["diffusers", "PNDMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )


def _restorer(_shelf: Shelf, folder: Path) -> None:
    """A graph with GFPGAN's input and output, and one operator in place of its layers."""
    from onnx import TensorProto, helper, save

    shape = [1, 3, 512, 512]
    graph = helper.make_graph(
        [helper.make_node("Neg", ["input"], ["output"])],
        "restorer",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
    )
    folder.mkdir(parents=True, exist_ok=True)
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    save(model, folder / "gfpgan_1.4.onnx")
