"""Photographs: the shipped networks on a held-out picture, tiles without seams, models of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from hanok.errors import HanokError
from hanok.flows.apps._photo_mask import box_mean, cut_out, shrink, stretched
from hanok.flows.apps._photo_network import Network, load_network, shapes_for, shipped_model
from hanok.flows.apps._photo_tiles import Tiling, cut_tile, mirrored, run_tiles
from hanok.flows.apps.photo import JOBS, edit_photo, read_picture, sample_photo
from hanok.flows.arrays import InputError
from hanok.graph import run_onnxruntime
from hanok.machine import Chip


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def edge() -> Chip:
    return Chip.load("edge")


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return read_picture(sample_photo())


def session(job: str):
    """The shipped network in ONNX Runtime: the same bits as on the chip, and quicker."""
    model = onnxruntime.InferenceSession(shipped_model(job).read_bytes())
    return lambda tile: model.run(None, {"picture": tile})[0]


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    error = float(np.mean((first.astype(np.float64) - second.astype(np.float64)) ** 2))
    return 10.0 * np.log10(255.0**2 / error)


def with_noise(picture: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0.0, sigma, picture.shape)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


# Quality of what is shipped.


@pytest.mark.parametrize(("sigma", "gain_db"), [(15, 4.2), (25, 6.4), (50, 8.9)])
def test_noise_is_taken_away(sample, sigma, gain_db):
    noisy = with_noise(sample, sigma)
    clean = run_tiles(noisy, Tiling(256, 24), session("denoise"), quiet)
    assert psnr(clean, sample) > psnr(noisy, sample) + gain_db


def test_upscaling_beats_bicubic(sample):
    large = sample[: sample.shape[0] // 2 * 2, : sample.shape[1] // 2 * 2]
    size = (large.shape[1], large.shape[0])
    small = Image.fromarray(large).resize((size[0] // 2, size[1] // 2), Image.Resampling.BICUBIC)
    bicubic = np.asarray(small.resize(size, Image.Resampling.BICUBIC))
    result = run_tiles(np.asarray(small), Tiling(256, 8, 2), session("upscale"), quiet)
    assert psnr(result, large) > psnr(bicubic, large) + 0.7


def test_a_subject_is_cut_out(edge):
    """A bright disc on a slope of grey: nine tenths of it, and little else."""
    rows, columns = np.mgrid[0:240, 0:320]
    inside = (rows - 120) ** 2 + (columns - 160) ** 2 < 75**2
    ground = np.repeat((40 + columns // 8)[..., None], 3, 2)
    picture = np.where(inside[..., None], np.array([230, 90, 40]), ground).astype(np.uint8)
    photo = edit_photo(picture, "cutout", edge)
    found = photo.picture[..., 3] >= 128
    assert (found & inside).sum() / (found | inside).sum() > 0.8
    assert photo.tiles == 1
    assert not photo.picture[photo.picture[..., 3] == 0].any()


# On the chip.


@pytest.fixture(scope="module")
def networks(edge, sample) -> dict[str, Network]:
    return {job: load_network(job, edge, None, sample, False, quiet) for job in JOBS}


def exactly(job: str):
    """The shipped network in ONNX Runtime without its approximations, which the chip matches bit for bit."""
    model = shipped_model(job).read_bytes()
    return lambda tile: run_onnxruntime(model, {"picture": tile}, ["result"])["result"]


@pytest.mark.parametrize("job", JOBS)
def test_the_chip_gives_what_onnx_runtime_gives(edge, sample, job):
    corner = sample[:150, :150]
    photo = edit_photo(corner, job, edge)
    record = photo.cost.programs[0].result.record
    assert record.checked
    assert record.outputs_mismatched == 0
    assert not record.host_operators
    if job == "cutout":
        expected = cut_out(corner, exactly(job)(shrink(corner, 256))[0, 0])
    else:
        tiling = Tiling(256, 24) if job == "denoise" else Tiling(256, 8, 2)
        expected = run_tiles(corner, tiling, exactly(job), quiet)
    assert np.array_equal(photo.picture, expected)
    assert np.array_equal(photo.before, corner)
    assert photo.cost.milliseconds > 0
    assert photo.cost.energy_mj > 0


@pytest.mark.parametrize("job", ["denoise", "upscale"])
def test_tiles_have_no_seams(networks, sample, job):
    network = networks[job]
    picture = sample[:, :280]
    first = run_tiles(picture, network.tiling, network.run, quiet)
    second = run_tiles(picture, network.tiling, network.run, quiet, offset=52)
    assert np.array_equal(first, second)


def test_one_pixel(networks):
    grey = np.full((1, 1, 3), 128, np.uint8)
    for job, shape in (("denoise", (1, 1, 3)), ("upscale", (2, 2, 3))):
        result = run_tiles(grey, networks[job].tiling, networks[job].run, quiet)
        assert result.shape == shape
        assert np.abs(result.astype(int) - 128).max() < 12
    assert cut_out(grey, networks["cutout"].run(shrink(grey, 256))[0, 0]).shape == (1, 1, 4)


def test_progress_is_told_twenty_times_at_most(sample):
    heard: list[str] = []
    run_tiles(np.zeros((100, 90, 3), np.uint8), Tiling(16, 4), lambda tile: tile, heard.append)
    assert 10 < len(heard) <= 20
    assert heard[0] == "tile 1 of 156"


# Tiles and masks by themselves.


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (64, 64), (65, 63), (200, 130)])
def test_an_empty_network_gives_the_picture_back(shape):
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert np.array_equal(run_tiles(picture, Tiling(32, 8), lambda tile: tile, quiet), picture)
    doubled = run_tiles(picture, Tiling(32, 4, 2), lambda tile: tile.repeat(2, 2).repeat(2, 3), quiet, 6)
    assert np.array_equal(doubled, picture.repeat(2, 0).repeat(2, 1))


def test_outside_a_picture_it_is_mirrored():
    assert mirrored(-3, 9, 3).tolist() == [2, 1, 0, 0, 1, 2, 2, 1, 0]
    assert mirrored(-2, 4, 1).tolist() == [0, 0, 0, 0]
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    tile = cut_tile(picture, -1, -1, 4)
    assert (tile[0, :, 0, 0] * 255).tolist() == [0, 1, 2]
    assert (tile[0, :, 3, 3] * 255).tolist() == [9, 10, 11]


def test_box_means_are_means():
    plane = np.random.default_rng(2).random((9, 7)).astype(np.float32)
    means = box_mean(plane, 2)
    assert means[4, 3] == pytest.approx(plane[2:7, 1:6].mean(), abs=1e-6)
    assert means[0, 0] == pytest.approx(plane[:3, :3].mean(), abs=1e-6)


def test_stretching_keeps_slopes_and_bands_agree():
    plane = np.arange(8, dtype=np.float32)[None, :].repeat(4, 0)
    wide = stretched(plane, slice(0, 40), 40, 80)
    assert wide[0, 40] == pytest.approx(3.55)
    assert np.array_equal(wide[7:19], stretched(plane, slice(7, 19), 40, 80))


def test_a_mask_follows_the_edges_of_the_picture():
    """A mask that is four pixels off and soft; the picture's own edge is at column 100."""
    picture = np.full((200, 200, 3), 40, np.uint8)
    picture[:, 100:] = 200
    coarse = np.clip((np.arange(50, dtype=np.float32) - 24) / 4 + 0.5, 0, 1)[None, :].repeat(50, 0)
    row = cut_out(picture, coarse)[100, :, 3].astype(int)
    steps = np.diff(row)
    assert np.argmax(steps) == 99
    assert steps[99] > 2 * np.delete(steps, 99).max()


def test_large_pictures_are_cut_out_in_bands(monkeypatch):
    picture = np.random.default_rng(4).integers(0, 256, (60, 50, 3)).astype(np.uint8)
    mask = np.random.default_rng(5).random((16, 16)).astype(np.float32)
    whole = cut_out(picture, mask)
    monkeypatch.setattr("hanok.flows.apps._photo_mask.BAND_PIXELS", 350)
    assert np.array_equal(cut_out(picture, mask), whole)


# Models of the user's own.


def own_model(path: Path, side: int = 32, outputs: int = 3, scale: int = 1) -> Path:
    """One convolution, which gives every pixel back (or its green), then depth to space."""
    random = np.random.default_rng(8)
    weights = random.normal(0.0, 0.01, (outputs * scale * scale, 3, 3, 3)).astype(np.float32)
    for channel in range(len(weights)):
        weights[channel, channel % 3, 1, 1] += 0.9
    nodes = [helper.make_node("Conv", ["picture", "weights"], ["features"], pads=[1, 1, 1, 1])]
    if scale > 1:
        nodes.append(helper.make_node("DepthToSpace", ["features"], ["result"], blocksize=scale))
    else:
        nodes[-1].output[0] = "result"
    shapes = [[1, 3, side, side], [1, outputs, scale * side, scale * side]]
    graph = helper.make_graph(
        nodes,
        "own",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def test_an_own_float_model_is_calibrated_on_the_picture(tmp_path, edge, sample):
    photo = edit_photo(sample[:70, :90], "denoise", edge, model=own_model(tmp_path / "own.onnx"))
    assert photo.tiles == 3 * 4
    record = photo.cost.programs[0].result.record
    assert not record.host_operators
    assert not any("random" in warning for warning in record.warnings)
    assert photo.picture.shape == (70, 90, 3)


def test_own_models_of_other_scales(tmp_path, edge, sample):
    corner = sample[:20, :30]
    larger = edit_photo(corner, "upscale", edge, model=own_model(tmp_path / "x3.onnx", scale=3))
    assert larger.picture.shape == (60, 90, 3)
    cut = edit_photo(corner, "cutout", edge, model=own_model(tmp_path / "mask.onnx", outputs=1))
    assert cut.picture.shape == (20, 30, 4)


@pytest.mark.parametrize(
    ("job", "inputs", "outputs", "message"),
    [
        ("denoise", [(1, 3, 32, 32)] * 2, [(1, 3, 32, 32)], "2 inputs and 1 outputs; a network for denoise"),
        ("denoise", [(1, 3, 0, 0)], [(1, 3, 0, 0)], r"is \[1, 3, \?, \?\] to .*T is a fixed number"),
        ("denoise", [(1, 3, 32, 48)], [(1, 3, 32, 48)], "T is a fixed number"),
        ("denoise", [(1, 1, 32, 32)], [(1, 1, 32, 32)], r"\[1, 3, T, T\] to \[1, 3, T, T\]"),
        ("denoise", [(1, 3, 8, 8)], [(1, 3, 8, 8)], "allowed: T from 16 to 1024"),
        ("denoise", [(1, 3, 32, 32)], [(1, 3, 64, 64)], "a network for denoise takes one picture"),
        ("upscale", [(1, 3, 32, 32)], [(1, 3, 32, 32)], "with s of 2 to 4"),
        ("upscale", [(1, 3, 32, 32)], [(1, 3, 50, 50)], "with s of 2 to 4"),
        ("upscale", [(1, 3, 32, 32)], [(1, 3, 256, 256)], "with s of 2 to 4"),
        ("cutout", [(1, 3, 32, 32)], [(1, 3, 32, 32)], r"to \[1, 1, T, T\]"),
        ("cutout", [(1, 3, 32, 32)], [(1, 10)], r"is \[1, 3, 32, 32\] to \[1, 10\]"),
    ],
)
def test_other_models_are_refused(job, inputs, outputs, message):
    named = [
        [(f"value_{index}", shape) for index, shape in enumerate(shapes)] for shapes in (inputs, outputs)
    ]
    with pytest.raises(InputError, match=message):
        shapes_for(job, Path("own.onnx"), named[0], named[1], None)


def test_a_model_that_is_none(tmp_path, edge, sample):
    with pytest.raises(HanokError, match="no such file"):
        edit_photo(sample, "denoise", edge, model=tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(HanokError, match=r"text\.onnx"):
        edit_photo(sample, "denoise", edge, model=tmp_path / "text.onnx")


def test_pictures_that_are_none(edge):
    with pytest.raises(InputError, match="job 'sharpen': allowed: denoise, upscale, cutout"):
        edit_photo(np.zeros((4, 4, 3), np.uint8), "sharpen", edge)
    with pytest.raises(InputError, match=r"the picture is float64 \[4, 4, 3\]; allowed: uint8"):
        edit_photo(np.zeros((4, 4, 3)), "denoise", edge)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1 x 1"):
        edit_photo(np.zeros((0, 4, 3), np.uint8), "denoise", edge)
    with pytest.raises(InputError, match="160,000,000 pixels; allowed: at most 150,000,000"):
        edit_photo(np.broadcast_to(np.uint8(0), (16_000, 10_000, 3)), "denoise", edge)
    with pytest.raises(InputError, match="2 times as high and wide, at most 100,000,000 are allowed"):
        edit_photo(np.broadcast_to(np.uint8(0), (11_000, 10_000, 3)), "upscale", edge)


def test_tilings_of_the_shipped_networks(networks):
    assert networks["denoise"].tiling == Tiling(256, 24)
    assert networks["upscale"].tiling == Tiling(256, 8, 2)
    assert networks["upscale"].tiling.step == 240
    assert networks["upscale"].tiling.count(241, 480) == 4
