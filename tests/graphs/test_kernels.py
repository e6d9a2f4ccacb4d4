"""The shipped kernels, executed on the CPU, against the numpy reference.

OpenCL by Oclgrind, OpenGL ES by the SwiftShader that the wheel of kaleido 0.2.1 carries: both
come from PyPI and need no driver and no compiler. Other implementations can be named by
AVATAR_EXPORT_TEST_OPENCL (words of a platform's name) and AVATAR_EXPORT_TEST_GLES
(libEGL.so.1:libGLESv2.so.2).
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from avatar_export.graphs.warp_reference import compose, warp

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="Oclgrind and SwiftShader come as wheels for Linux on x86_64 only",
)

KERNELS = files("avatar_export.graphs") / "kernels"
SIZES = (8, 21, 128)


@dataclass(frozen=True)
class Layers:
    """Inputs of a kernel, NHWC without batch; numbers rounded to half so that both storages
    hold the same."""

    avatar: np.ndarray
    delta_uv: np.ndarray
    rgb: np.ndarray
    mask: np.ndarray | None
    background: tuple[float, float, float] = (-1.0, -1.0, -1.0)

    @property
    def size(self) -> int:
        return int(self.rgb.shape[0])

    def stored(self, dtype: type[np.floating]) -> dict[str, np.ndarray]:
        """The arrays by name, without an absent mask."""
        arrays = {
            "avatar": self.avatar,
            "delta_uv": self.delta_uv,
            "rgb": self.rgb,
            "mask": self.mask,
        }
        return {k: np.ascontiguousarray(x, dtype) for k, x in arrays.items() if x is not None}


# (layers, storage of the inputs, float32 or uint8 of the result) -> RGBA [s, s, 4]
Renderer = Callable[[Layers, type[np.floating], type[np.generic]], np.ndarray]


def make_layers(size: int, reach: float = 0.3, *, masked: bool = True) -> Layers:
    rng = np.random.default_rng(size)

    def draw(channels: int, low: float, high: float) -> np.ndarray:
        x = rng.uniform(low, high, (size, size, channels))
        return x.astype(np.float16).astype(np.float32)

    layers = Layers(draw(3, -1, 1), draw(2, -reach, reach), draw(3, -1, 1), draw(1, 0, 1))
    return layers if masked else replace(layers, mask=None)


def expected(layers: Layers) -> np.ndarray:
    """The frame by the reference, [s, s, 3], black 0 and white 1, not clamped."""
    arrays = {k: x.transpose(2, 0, 1)[None] for k, x in layers.stored(np.float32).items()}
    warped = warp(arrays["avatar"], arrays["delta_uv"])
    channels = [
        compose(arrays["rgb"], warped, arrays.get("mask"), level)[0, c]
        for c, level in enumerate(layers.background)
    ]
    return np.stack(channels, axis=-1) / 2 + 0.5


# --- OpenCL -------------------------------------------------------------------------------


class OpenClRenderer:
    """Kernel ``frame`` of warp.cl."""

    def __init__(self) -> None:
        import pyopencl as cl

        self.cl = cl
        wanted = os.environ.get("AVATAR_EXPORT_TEST_OPENCL", "Oclgrind")
        chosen = next(p for p in cl.get_platforms() if wanted in p.name)
        self.context = cl.Context(chosen.get_devices()[:1])
        self.queue = cl.CommandQueue(self.context)
        self.kernels = {np.float32: self._build(), np.float16: self._build("-D", "HALF")}

    def _build(self, *options: str) -> object:
        source = (KERNELS / "warp.cl").read_text()
        program = self.cl.Program(self.context, source)
        return self.cl.Kernel(program.build(["-cl-std=CL1.2", "-Werror", *options]), "frame")

    def __call__(
        self, layers: Layers, storage: type[np.floating], result: type[np.generic]
    ) -> np.ndarray:
        cl, size = self.cl, layers.size
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        arrays = layers.stored(storage)
        buffers = {k: cl.Buffer(self.context, flags, hostbuf=x) for k, x in arrays.items()}
        image = self._image(size, result)
        self.kernels[storage](
            self.queue,
            # Larger than the frame, as when rounded up to a work-group.
            (size + 3, size + 1),
            None,
            *(buffers.get(name) for name in ("avatar", "delta_uv", "rgb", "mask")),
            np.int32(size),
            np.array([*layers.background, 0], np.float32),
            image,
        )
        frame = np.empty((size, size, 4), result)
        cl.enqueue_copy(self.queue, frame, image, origin=(0, 0), region=(size, size))
        return frame

    def _image(self, size: int, result: type[np.generic]) -> object:
        cl = self.cl
        kinds = {np.uint8: cl.channel_type.UNORM_INT8, np.float32: cl.channel_type.FLOAT}
        form = cl.ImageFormat(cl.channel_order.RGBA, kinds[result])
        return cl.create_image(self.context, cl.mem_flags.WRITE_ONLY, form, shape=(size, size))


# --- OpenGL ES ----------------------------------------------------------------------------

EGL_PBUFFER, EGL_ES3, EGL_END, EGL_ES_API = (0x3033, 1), (0x3040, 0x40), (0x3038,), 0x30A0
EGL_VERSION_3, EGL_16X16 = (0x3098, 3), (0x3057, 16, 0x3056, 16)
GL_TEXTURE_2D, GL_TEXTURE0, GL_NEAREST = 0x0DE1, 0x84C0, 0x2600
GL_MIN_FILTER, GL_MAG_FILTER, GL_UNPACK_ALIGNMENT = 0x2801, 0x2800, 0x0CF5
GL_UNSIGNED_BYTE, GL_FLOAT, GL_HALF_FLOAT, GL_RGBA = 0x1401, 0x1406, 0x140B, 0x1908
GL_RGBA8, GL_RGBA32F, GL_TRIANGLES = 0x8058, 0x8814, 0x0004
GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_COMPLETE = 0x8D40, 0x8CE0, 0x8CD5
GL_FRAGMENT_SHADER, GL_VERTEX_SHADER = 0x8B30, 0x8B31
GL_COMPILE_STATUS, GL_LINK_STATUS = 0x8B81, 0x8B82

# channels -> format, internal format for float32, for float16
TEXTURE_FORMATS = {
    1: (0x1903, {np.float32: 0x822E, np.float16: 0x822D}),  # GL_RED, GL_R32F, GL_R16F
    2: (0x8227, {np.float32: 0x8230, np.float16: 0x822F}),  # GL_RG, GL_RG32F, GL_RG16F
    3: (0x1907, {np.float32: 0x8815, np.float16: 0x881B}),  # GL_RGB, GL_RGB32F, GL_RGB16F
}
PIXEL_TYPES = {np.float32: GL_FLOAT, np.float16: GL_HALF_FLOAT, np.uint8: GL_UNSIGNED_BYTE}
TARGETS = {np.float32: GL_RGBA32F, np.uint8: GL_RGBA8}


class GlesRenderer:
    """warp.frag with the vertex shader of the kernels' README, bound as that README says."""

    def __init__(self) -> None:
        egl_library, gl_library = _gles_libraries()
        self.egl, self.gl = ctypes.CDLL(egl_library), ctypes.CDLL(gl_library)
        self.gl.glGetString.restype = ctypes.c_char_p
        self.display, self.surface, self.context = self._context()
        self.program = self._program()

    def close(self) -> None:
        self.egl.eglMakeCurrent(self.display, None, None, None)
        self.egl.eglDestroyContext(self.display, self.context)
        self.egl.eglDestroySurface(self.display, self.surface)
        self.egl.eglTerminate(self.display)

    def _context(self) -> tuple[ctypes.c_void_p, ...]:
        egl = self.egl
        for name in ("eglGetDisplay", "eglCreateContext", "eglCreatePbufferSurface"):
            getattr(egl, name).restype = ctypes.c_void_p
        display = ctypes.c_void_p(egl.eglGetDisplay(None))
        assert egl.eglInitialize(display, None, None)
        assert egl.eglBindAPI(EGL_ES_API)
        config, count = ctypes.c_void_p(), ctypes.c_int()
        wanted = _ints(*EGL_PBUFFER, *EGL_ES3, *EGL_END)
        egl.eglChooseConfig(display, wanted, ctypes.byref(config), 1, ctypes.byref(count))
        assert count.value == 1
        version, area = _ints(*EGL_VERSION_3, *EGL_END), _ints(*EGL_16X16, *EGL_END)
        context = ctypes.c_void_p(egl.eglCreateContext(display, config, None, version))
        surface = ctypes.c_void_p(egl.eglCreatePbufferSurface(display, config, area))
        assert egl.eglMakeCurrent(display, surface, surface, context)
        return display, surface, context

    def _program(self) -> int:
        gl = self.gl
        program = int(gl.glCreateProgram())
        gl.glAttachShader(program, self._shader(GL_VERTEX_SHADER, _readme_vertex_shader()))
        fragment = (KERNELS / "warp.frag").read_text()
        gl.glAttachShader(program, self._shader(GL_FRAGMENT_SHADER, fragment))
        gl.glLinkProgram(program)
        linked = ctypes.c_int()
        gl.glGetProgramiv(program, GL_LINK_STATUS, ctypes.byref(linked))
        assert linked.value
        return program

    def _shader(self, kind: int, source: str) -> int:
        gl = self.gl
        shader = int(gl.glCreateShader(kind))
        gl.glShaderSource(shader, 1, ctypes.byref(ctypes.c_char_p(source.encode())), None)
        gl.glCompileShader(shader)
        compiled, log = ctypes.c_int(), ctypes.create_string_buffer(4096)
        gl.glGetShaderiv(shader, GL_COMPILE_STATUS, ctypes.byref(compiled))
        gl.glGetShaderInfoLog(shader, len(log), None, log)
        assert compiled.value, log.value.decode()
        return shader

    def __call__(
        self, layers: Layers, storage: type[np.floating], result: type[np.generic]
    ) -> np.ndarray:
        gl, size = self.gl, layers.size
        gl.glUseProgram(self.program)
        for unit, (name, array) in enumerate(layers.stored(storage).items()):
            self._upload(unit, array)
            gl.glUniform1i(self._location(name), unit)
        gl.glUniform1i(self._location("masked"), layers.mask is not None)
        background = (ctypes.c_float(x) for x in layers.background)
        gl.glUniform3f(self._location("background"), *background)
        self._bind_target(size, result)
        gl.glViewport(0, 0, size, size)
        gl.glDrawArrays(GL_TRIANGLES, 0, 3)
        frame = np.empty((size, size, 4), result)
        gl.glReadPixels(0, 0, size, size, GL_RGBA, PIXEL_TYPES[result], _pointer(frame))
        assert gl.glGetError() == 0
        return frame

    def _location(self, name: str) -> int:
        location = int(self.gl.glGetUniformLocation(self.program, name.encode()))
        assert location >= 0, name
        return location

    def _upload(self, unit: int, array: np.ndarray) -> None:
        gl, size = self.gl, array.shape[0]
        form, internal = TEXTURE_FORMATS[array.shape[2]]
        kind = array.dtype.type
        self._new_texture(GL_TEXTURE0 + unit)
        gl.glPixelStorei(GL_UNPACK_ALIGNMENT, 1)
        gl.glTexImage2D(
            GL_TEXTURE_2D,
            0,
            internal[kind],
            size,
            size,
            0,
            form,
            PIXEL_TYPES[kind],
            _pointer(array),
        )

    def _new_texture(self, unit: int) -> int:
        gl, texture = self.gl, ctypes.c_uint()
        gl.glGenTextures(1, ctypes.byref(texture))
        gl.glActiveTexture(unit)
        gl.glBindTexture(GL_TEXTURE_2D, texture)
        gl.glTexParameteri(GL_TEXTURE_2D, GL_MIN_FILTER, GL_NEAREST)
        gl.glTexParameteri(GL_TEXTURE_2D, GL_MAG_FILTER, GL_NEAREST)
        return int(texture.value)

    def _bind_target(self, size: int, result: type[np.generic]) -> None:
        gl, target = self.gl, ctypes.c_uint()
        texture = self._new_texture(GL_TEXTURE0 + 7)
        gl.glTexStorage2D(GL_TEXTURE_2D, 1, TARGETS[result], size, size)
        gl.glGenFramebuffers(1, ctypes.byref(target))
        gl.glBindFramebuffer(GL_FRAMEBUFFER, target)
        gl.glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, texture, 0)
        assert gl.glCheckFramebufferStatus(GL_FRAMEBUFFER) == GL_COMPLETE


def _gles_libraries() -> tuple[str, str]:
    """Paths of libEGL and libGLESv2."""
    chosen = os.environ.get("AVATAR_EXPORT_TEST_GLES")
    if chosen:
        egl, gl = chosen.split(":")
        return egl, gl
    spec = importlib.util.find_spec("kaleido")
    assert spec and spec.origin, "the dev extra is not installed: no kaleido"
    folder = Path(spec.origin).parent / "executable" / "bin" / "swiftshader"
    return str(folder / "libEGL.so"), str(folder / "libGLESv2.so")


def _readme_vertex_shader() -> str:
    match = re.search(r"```glsl\n(.*?)```", (KERNELS / "README.md").read_text(), re.DOTALL)
    assert match
    return match[1]


def _ints(*values: int) -> ctypes.Array[ctypes.c_int]:
    return (ctypes.c_int * len(values))(*values)


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


# --- tests --------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["opencl", "gles"])
def render(request: pytest.FixtureRequest) -> Iterator[Renderer]:
    if request.param == "opencl":
        os.environ["PYOPENCL_NO_CACHE"] = "1"
        yield OpenClRenderer()
        return
    gles = GlesRenderer()
    yield gles
    gles.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("storage", [np.float32, np.float16])
@pytest.mark.parametrize("masked", [True, False])
def test_frame(render: Renderer, size: int, storage: type[np.floating], masked: bool) -> None:
    layers = make_layers(size, masked=masked)
    frame = render(layers, storage, np.float32)
    assert abs(frame[..., :3] - expected(layers)).max() < 2e-6
    assert (frame[..., 3] == 1).all()


@pytest.mark.parametrize("reach", [1.0, 5.0])
def test_far_displacements_read_zeros(
    render: Renderer, reach: float, capfd: pytest.CaptureFixture[str]
) -> None:
    layers = make_layers(21, reach, masked=False)
    frame = render(layers, np.float32, np.float32)
    assert abs(frame[..., :3] - expected(layers)).max() < 2e-6
    assert capfd.readouterr().err == "", "Oclgrind reports a read outside a buffer"


@pytest.mark.parametrize("shift", [(3, 0), (0, -5), (-21, 21), (-20, 20), (22, -22)])
def test_a_shift_by_whole_pixels_copies_texels(render: Renderer, shift: tuple[int, int]) -> None:
    """An oracle beside the reference: the shifted texture itself."""
    size, (dx, dy) = 21, shift
    delta_uv = np.broadcast_to(np.array(shift) * 2.0 / size, (size, size, 2))
    zero = np.zeros((size, size, 3), np.float32)
    avatar = make_layers(size).avatar
    bordered = np.pad(avatar, ((22, 22), (22, 22), (0, 0)))
    shifted = bordered[22 + dy : 22 + dy + size, 22 + dx : 22 + dx + size]
    frame = render(Layers(avatar, delta_uv, zero, None), np.float32, np.float32)
    assert abs(frame[..., :3] * 2 - 1 - shifted).max() < 1e-5


def test_the_background_takes_the_place_of_black(render: Renderer) -> None:
    layers = replace(make_layers(21), background=(0.25, -0.5, 1.0))
    frame = render(layers, np.float32, np.float32)
    assert abs(frame[..., :3] - expected(layers)).max() < 2e-6


def test_eight_bits_are_rounded_and_clamped(render: Renderer) -> None:
    layers = make_layers(64, masked=False)
    exact = expected(layers)
    assert (exact < 0).any() and (exact > 1).any()
    frame = render(layers, np.float32, np.uint8)
    assert abs(frame[..., :3] - exact.clip(0, 1) * 255).max() < 0.6
    assert (frame[..., 3] == 255).all()


def test_the_readme_names_every_uniform_and_argument() -> None:
    readme = (KERNELS / "README.md").read_text()
    uniforms = re.findall(r"^uniform .*?(\w+);", (KERNELS / "warp.frag").read_text(), re.MULTILINE)
    signature = (KERNELS / "warp.cl").read_text().split("__kernel void frame(")[1].split("{")[0]
    arguments = re.findall(r"(\w+)[,)]\s*(?://|$)", signature, re.MULTILINE)
    assert (len(uniforms), len(arguments)) == (6, 7)
    assert [name for name in uniforms + arguments if f"`{name}`" not in readme] == []
