"""Storage and views: every tensor is a four-dimensional image [N][H][W][C] in some storage."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(eq=False)
class Storage:
    """Bytes that hold one tensor, or several that were concatenated; in DRAM, in SRAM or in both.

    `content` is given for constants. `dram_address` is -1 as long as the storage has no place in DRAM.
    """

    name: str
    size_bytes: int
    dram_address: int = -1
    resident: bool = False
    content: bytes = b""


@dataclass(frozen=True)
class View:
    """Elements [N][H][W][C] of a storage; pitches and offset in bytes, channels contiguous."""

    storage: Storage
    shape: tuple[int, int, int, int]
    offset: int
    image_pitch: int
    row_pitch: int
    pixel_pitch: int
    element_bytes: int = 1
    """4 for float32."""

    @classmethod
    def dense(
        cls, storage: Storage, shape: tuple[int, int, int, int], offset: int = 0, element_bytes: int = 1
    ) -> View:
        """A view without gaps."""
        _, height, width, channels = shape
        pixel = channels * element_bytes
        return cls(storage, shape, offset, height * width * pixel, width * pixel, pixel, element_bytes)

    @property
    def is_dense(self) -> bool:
        """Whether the elements lie without gaps in row-major order."""
        images, height, width, channels = self.shape
        return (
            (self.pixel_pitch == channels * self.element_bytes or height * width * images == 1)
            and (self.row_pitch == width * self.pixel_pitch or height * images == 1)
            and (self.image_pitch == height * self.row_pitch or images == 1)
        )

    @property
    def elements(self) -> int:
        """How many elements there are."""
        images, height, width, channels = self.shape
        return images * height * width * channels

    @property
    def bytes(self) -> int:
        """Bytes of the elements themselves."""
        return self.elements * self.element_bytes

    def position(self, image: int, y: int, x: int) -> int:
        """Byte offset in the storage of channel 0 at (image, y, x)."""
        return self.offset + image * self.image_pitch + y * self.row_pitch + x * self.pixel_pitch

    def channels(self, start: int, count: int) -> View:
        """The view of `count` channels from `start`."""
        images, height, width, _ = self.shape
        return replace(
            self, shape=(images, height, width, count), offset=self.offset + start * self.element_bytes
        )

    def reshaped(self, shape: tuple[int, int, int, int]) -> View:
        """The same dense elements under another shape."""
        assert self.is_dense, f"reshape of a view with gaps of {self.storage.name}"
        return View.dense(self.storage, shape, self.offset, self.element_bytes)
