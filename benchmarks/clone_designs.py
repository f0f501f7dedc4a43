"""Open designs that clone detection is measured on, and how each is cut out with what it holds.

They are not part of hanok. `FOLDER/<owner>+<name>` is a clone of that repository on GitHub, and
`FOLDER/py+<name>` the folder `pythondata_cpu_<name>` that `pip install --target` makes of
`pythondata-cpu-<name>`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hanok.protect.clones._lexer import Tokens, read_tokens
from hanok.protect.clones.sources import SourceFile, Sources

BY_FOLDER = """
secworks+aes/src/rtl: aes_encipher_block aes_key_mem
secworks+sha1/src/rtl: sha1
secworks+sha256/src/rtl: sha256
secworks+sha512/src/rtl: sha512_core
secworks+chacha/src/rtl: chacha_core
secworks+siphash/src/rtl: siphash
secworks+blake2/src/rtl: blake2_core
secworks+md5/src/rtl: md5
secworks+sha3/src/rtl: sha3
secworks+uart/src/rtl: uart_core
alexforencich+verilog-i2c/rtl: i2c_slave i2c_master i2c_init
alexforencich+verilog-axi/rtl: axi_dma_rd axi_cdma axi_adapter_rd axi_vfifo_enc axi_dma_desc_mux
alexforencich+verilog-axi/rtl: axil_cdc_wr axi_ram_wr_rd_if axi_axil_adapter_rd
alexforencich+verilog-ethernet/rtl: ptp_clock ptp_td_phc mac_ctrl_rx xgmii_baser_dec_64 ip_eth_rx udp_ip_tx
alexforencich+verilog-ethernet/rtl: ptp_perout eth_arb_mux rgmii_phy_if
ZipCPU+wbuart32/rtl: wbuart
ZipCPU+sdspi/rtl: sdspi sdtxframe sdrxframe sddma_s2mm
ZipCPU+wb2axip/rtl: wbxbar axilxbar axivdisplay axisgfsm axi2axilite axidouble apbslave axim2wbsp
ZipCPU+wb2axip/rtl: axlite2wbsp aximm2s axiperf axissafety wbsafety axilgpio
ZipCPU+zipcpu/rtl: div idecode pfcache dcache wbdmac zipmmu icontrol pipemem
ZipCPU+cordic/rtl: topolar cordic seqcordic
ultraembedded+riscv/core/riscv: riscv_core
ultraembedded+cores/usb_device/src_v: usbf_device
ultraembedded+cores/uart/rtl: uart
ultraembedded+cores/spdif/rtl: spdif_core
ultraembedded+cores/sdram/rtl: sdram
ultraembedded+cores/spilite_axi4l/src_v: spi_lite
ultraembedded+cores/irq_ctrl/src_v: irq_ctrl
ultraembedded+cores/ftdi_async_bridge/rtl: ftdi_if
ultraembedded+cores/asram16_axi4/src_v: asram16_axi4
ultraembedded+core_jpeg/src_v: jpeg_input jpeg_bitbuffer jpeg_dqt jpeg_idct jpeg_output jpeg_mcu_proc
freecores+i2c/rtl/verilog: i2c_master_top
freecores+can/rtl/verilog: can_top
freecores+ethmac/rtl/verilog: eth_rxethmac eth_txethmac eth_miim eth_maccontrol
freecores+spi/rtl/verilog: spi_top
freecores+uart16550/rtl/verilog: uart_top
freecores+tv80/rtl/core: tv80s
freecores+vga_lcd/rtl/verilog: vga_pgen vga_wb_master vga_curproc
freecores+wb_dma/rtl/verilog: wb_dma_de
freecores+ac97/rtl/verilog: ac97_sout ac97_dma_if ac97_prc
freecores+aes_core/rtl/verilog: aes_cipher_top
freecores+fpu/verilog: fpu
freecores+pci/rtl/verilog: pci_master32_sm pci_target32_sm pci_wb_slave
freecores+openmsp430/core/rtl/verilog: omsp_frontend omsp_execution_unit omsp_dbg omsp_watchdog
darklife+darkriscv/rtl: darkriscv
py+picorv32/verilog: picorv32
py+serv/verilog/rtl: serv_top
py+vexriscv/verilog: VexRiscv
py+mor1kx/verilog/rtl/verilog: mor1kx_ctrl_espresso mor1kx_icache mor1kx_dmmu mor1kx_ticktimer
py+mor1kx/verilog/rtl/verilog: mor1kx_bus_if_wb32 pfpu32_top
py+marocchino/verilog/rtl/verilog: or1k_marocchino_ctrl or1k_marocchino_oman or1k_marocchino_int_div
py+marocchino/verilog/rtl/verilog: or1k_marocchino_lsu
"""
_ENDINGS = (".v", ".vh", ".h")


@dataclass(frozen=True)
class Design:
    """A module with all that it holds, as one file; the author is who owns the repository."""

    author: str
    top: str
    sources: Sources


@dataclass(frozen=True)
class _Slice:
    text: str
    names: frozenset[str]


def designs(folder: Path) -> list[Design]:
    """Return the designs that are there; what is missing is said."""
    found = []
    for line in BY_FOLDER.strip().splitlines():
        place, tops = line.split(":")
        modules, headers = _modules(folder / place)
        author, project = place.split("/")[0].split("+")
        author = project if author in ("py", "freecores") else author
        for top in tops.split():
            if top in modules:
                found.append(Design(author, top, _closure(top, modules, headers)))
            else:
                print(f"missing: {place} {top}")
    return found


@lru_cache
def _modules(folder: Path) -> tuple[dict[str, _Slice], tuple[SourceFile, ...]]:
    modules: dict[str, _Slice] = {}
    headers = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _ENDINGS and path.is_file()):
        text = path.read_text("latin-1")
        read = read_tokens(text)
        before = text[: read.modules[0].start] if read.modules else ""
        if not read.modules:
            headers.append(SourceFile(path.stem + ".vh" if path.suffix == ".v" else path.name, text))
            headers.append(SourceFile(path.name.removesuffix(".v") + ".h", text))
        for module in read.modules:
            part = text[module.start : module.end]
            modules.setdefault(module.name, _Slice(f"{before}\n{part}\n", frozenset(read_tokens(part).names)))
    return modules, tuple(headers)


def _closure(top: str, modules: dict[str, _Slice], headers: tuple[SourceFile, ...]) -> Sources:
    wanted, waiting = {top}, [top]
    while waiting:
        fresh = (modules[waiting.pop()].names & modules.keys()) - wanted
        wanted |= fresh
        waiting += sorted(fresh)
    text = "".join(modules[name].text for name in sorted(wanted))
    files, waiting_files = {f"{top}.v": _with_headers(text, headers)}, [f"{top}.v"]
    while waiting_files:
        name = waiting_files.pop()
        for header in headers:
            if header.name not in files and f'"{header.name}"' in files[name]:
                files[header.name] = _with_headers(header.text, headers)
                waiting_files.append(header.name)
    return Sources(top, tuple(SourceFile(name, text) for name, text in files.items()))


def _with_headers(text: str, headers: tuple[SourceFile, ...]) -> str:
    """Return a text that includes headers by names that end as a header's does, from one folder."""
    text = re.sub(r'`include\s+"(?:[^"\n]*/)?([^"/\n]+)"', r'`include "\1"', text)
    for header in headers:
        stem = header.name.rsplit(".", 1)[0]
        text = text.replace(f'`include "{stem}.v"', f'`include "{stem}.vh"')
    return text


def tokens_of(sources: Sources) -> list[Tokens]:
    """Return the tokens of each file."""
    return [read_tokens(file.text) for file in sources.files]
