/**
 * Identify Controller (Base 2.0, 5.17.2.1, CNS 01h): 4096 bytes. Rows in the order of the figure, those of 2.1
 * included; the meaning of bit fields is in `identify-controller-bits.ts`.
 */
import {
  ascii,
  bytes,
  nested,
  repeat,
  type StructValue,
  struct,
  u8,
  u16,
  u32,
  u128,
  utf8,
} from './struct.ts';

/** Power State Descriptor (figure "Identify – Power State Descriptor Data Structure"): 32 bytes. */
export const powerState = struct(32, {
  mp: u16(0), // maximum power, in centiwatts unless MXPS
  flags: u8(3), // bit 0 MXPS: unit of mp is 0.1 mW; bit 1 NOPS: non-operational
  enlat: u32(4), // entry latency, µs
  exlat: u32(8), // exit latency, µs
  rrt: u8(12), // relative read throughput
  rrl: u8(13), // relative read latency
  rwt: u8(14), // relative write throughput
  rwl: u8(15), // relative write latency
  idlp: u16(16), // idle power
  ips: u8(18), // idle power scale, bits 7:6
  actp: u16(20), // active power
  apws: u8(22), // active power workload and scale
});
export type PowerState = StructValue<typeof powerState>;

export const identifyController = struct(4096, {
  // Controller Capabilities and Features
  vid: u16(0), // PCI vendor id
  ssvid: u16(2), // PCI subsystem vendor id
  sn: ascii(4, 20), // serial number
  mn: ascii(24, 40), // model number
  fr: ascii(64, 8), // firmware revision
  rab: u8(72), // recommended arbitration burst, 2^n commands
  ieee: bytes(73, 3), // OUI, least significant byte first
  cmic: u8(76), // multi-path I/O and namespace sharing: `cmic`
  mdts: u8(77), // maximum data transfer size, 2^n memory pages of CAP.MPSMIN; 0 is no limit
  cntlid: u16(78), // controller id
  ver: u32(80), // version, as VS
  rtd3r: u32(84), // RTD3 resume latency, µs
  rtd3e: u32(88), // RTD3 entry latency, µs
  oaes: u32(92), // optional asynchronous events supported: `oaes`
  ctratt: u32(96), // controller attributes: `ctratt`
  rrls: u16(100), // read recovery levels supported
  bpcap: u8(102), // boot partition capabilities
  nssl: u32(104), // NVM subsystem shutdown latency, µs
  plsi: u8(110), // power loss signaling information
  cntrltype: u8(111), // controller type: `controllerType`
  fguid: bytes(112, 16), // FRU globally unique identifier
  crdt1: u16(128), // command retry delay times, in units of 100 ms
  crdt2: u16(130),
  crdt3: u16(132),
  crcap: u8(134), // controller reachability capabilities
  nvmsr: u8(253), // NVM subsystem report (NVMe-MI)
  vwci: u8(254), // VPD write cycle information (NVMe-MI)
  mec: u8(255), // management endpoint capabilities (NVMe-MI)

  // Admin Command Set Attributes
  oacs: u16(256), // optional admin command support: `oacs`
  acl: u8(258), // abort command limit, 0's based
  aerl: u8(259), // asynchronous event request limit, 0's based
  frmw: u8(260), // firmware updates: `frmw`
  lpa: u8(261), // log page attributes: `lpa`
  elpe: u8(262), // error log page entries, 0's based
  npss: u8(263), // number of power states supported, 0's based
  avscc: u8(264), // admin vendor specific command configuration
  apsta: u8(265), // autonomous power state transition attributes
  wctemp: u16(266), // warning composite temperature threshold, K
  cctemp: u16(268), // critical composite temperature threshold, K
  mtfa: u16(270), // maximum time for firmware activation, 100 ms
  hmpre: u32(272), // host memory buffer preferred size, 4 KiB
  hmmin: u32(276), // host memory buffer minimum size, 4 KiB
  tnvmcap: u128(280), // total NVM capacity, bytes
  unvmcap: u128(296), // unallocated NVM capacity, bytes
  rpmbs: u32(312), // replay protected memory block support
  edstt: u16(316), // extended device self-test time, minutes
  dsto: u8(318), // device self-test options
  fwug: u8(319), // firmware update granularity, 4 KiB
  kas: u16(320), // keep alive granularity, 100 ms; 0 is not supported
  hctma: u16(322), // host controlled thermal management attributes
  mntmt: u16(324), // minimum thermal management temperature, K
  mxtmt: u16(326), // maximum thermal management temperature, K
  sanicap: u32(328), // sanitize capabilities
  hmminds: u32(332), // host memory buffer minimum descriptor entry size, 4 KiB
  hmmaxd: u16(336), // host memory maximum descriptors entries
  nsetidmax: u16(338), // NVM set identifier maximum
  endgidmax: u16(340), // endurance group identifier maximum
  anatt: u8(342), // ANA transition time, seconds
  anacap: u8(343), // ANA capabilities: `anacap`
  anagrpmax: u32(344), // ANA group identifier maximum
  nanagrpid: u32(348), // number of ANA group identifiers
  pels: u32(352), // persistent event log size, 64 KiB
  domainid: u16(356), // domain identifier
  kpioc: u8(358), // key per I/O capabilities
  mptfawr: u16(360), // maximum processing time for firmware activation without reset, 100 ms
  megcap: u128(368), // maximum endurance group capacity, bytes
  tmpthha: u8(384), // temperature threshold hysteresis attributes
  cqt: u16(386), // command quiesce time, ms

  // NVM Command Set Attributes
  sqes: u8(512), // submission queue entry size: maximum in 7:4, required in 3:0, as 2^n
  cqes: u8(513), // completion queue entry size, likewise
  maxcmd: u16(514), // maximum outstanding commands
  nn: u32(516), // largest NSID
  oncs: u16(520), // optional NVM command support: `oncs`
  fuses: u16(522), // fused operation support: `fuses`
  fna: u8(524), // format NVM attributes: `fna`
  vwc: u8(525), // volatile write cache: `vwc`
  awun: u16(526), // atomic write unit normal, blocks, 0's based
  awupf: u16(528), // atomic write unit power fail, blocks, 0's based
  icsvscc: u8(530), // I/O command set vendor specific command configuration
  nwpc: u8(531), // namespace write protection capabilities
  acwu: u16(532), // atomic compare and write unit, blocks, 0's based
  ocfs: u16(534), // copy descriptor formats supported, bit n is format n
  sgls: u32(536), // SGL support: `sgls`
  mnan: u32(540), // maximum number of allowed namespaces; 0 is nn
  maxdna: u128(544), // maximum domain namespace attachments
  maxcna: u32(560), // maximum I/O controller namespace attachments
  oaqd: u32(564), // optimal aggregated queue depth
  subnqn: utf8(768, 256), // NVM subsystem NVMe Qualified Name

  // Fabrics only
  ioccsz: u32(1792), // I/O queue command capsule supported size, 16 bytes
  iorcsz: u32(1796), // I/O queue response capsule supported size, 16 bytes
  icdoff: u16(1800), // in-capsule data offset, 16 bytes
  fcatt: u8(1802), // fabrics controller attributes: `fcatt`
  msdbd: u8(1803), // maximum SGL data block descriptors; 0 is no limit
  ofcs: u16(1804), // optional fabric commands support: `ofcs`
  dctype: u8(1806), // discovery controller type: `discoveryControllerType`

  psd: repeat(2048, 32, 32, (offset) => nested(offset, powerState)), // power state descriptors
});
export type IdentifyController = StructValue<typeof identifyController>;
