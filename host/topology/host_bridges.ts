/**
 * The host bridges that the kernel lets peer-to-peer requests pass, as data.
 *
 * From `pci_p2pdma_whitelist` in drivers/pci/p2pdma.c of Linux 7.3.4; ids by name from
 * include/linux/pci_ids.h. The rule that the entries serve is the same from 6.19 to 7.3.
 *
 * @module
 */

/** A list entry. */
export interface ListedHostBridge {
  /** Four hexadecimal digits. */
  readonly vendor: string;
  /** Four hexadecimal digits; absent: any. */
  readonly device?: string;
  /** Only between functions below the same host bridge (`REQ_SAME_HOST_BRIDGE`). */
  readonly sameOnly: boolean;
  /** First release that surely has the entry; absent: every one that exports dma-bufs at all. */
  readonly since?: readonly [major: number, minor: number];
  readonly name: string;
}

const INTEL = "8086";
const SAME_ONLY: readonly (readonly [device: string, name: string])[] = [
  ["3c00", "Intel Xeon E5, Core i7"],
  ["3c01", "Intel Xeon E5, Core i7"],
  ["2f00", "Intel Xeon E7 v3, E5 v3, Core i7"],
  ["2f01", "Intel Xeon E7 v3, E5 v3, Core i7"],
];
const SKYLAKE_ON = ["2030", "2031", "2032", "2033", "2020", "09a2"];
/**
 * Came together after 7.1 ("Add Intel QAT, DSA, IAA devices to whitelist"); stable releases took them
 * over from July 2026 on, so that an older kernel may have them too.
 */
const ACCELERATORS: readonly (readonly [device: string, name: string])[] = [
  ["0b25", "Intel DSA (Sapphire Rapids)"],
  ["0cfe", "Intel IAA (Sapphire Rapids)"],
  ["11fb", "Intel DSA (Granite Rapids D)"],
  ["1212", "Intel DSA (Diamond Rapids)"],
  ["1216", "Intel IAA (Diamond Rapids)"],
  ["4940", "Intel QAT 4xxx"],
  ["4942", "Intel QAT 401xx"],
  ["4944", "Intel QAT 402xx"],
  ["4946", "Intel QAT 420xx"],
  ["4948", "Intel QAT 6xxx"],
];
/** In 7.3.4; not in a tree that has the accelerators and is not yet 7.3. */
const NVIDIA = ["2f95", "2f96", "2f97", "2f98"];

/** The list, in the kernel's order. */
export const LISTED_HOST_BRIDGES: readonly ListedHostBridge[] = [
  ...SAME_ONLY.map(([device, name]) => ({ vendor: INTEL, device, sameOnly: true, name })),
  ...SKYLAKE_ON.map((device) => ({
    vendor: INTEL,
    device,
    sameOnly: false,
    name: device === "09a2" ? "Intel Ice Lake and later" : "Intel Skylake-E",
  })),
  ...ACCELERATORS.map(([device, name]) => (
    { vendor: INTEL, device, sameOnly: false, since: [7, 2] as const, name }
  )),
  { vendor: "1ae0", sameOnly: false, name: "Google SoC" },
  ...NVIDIA.map((device) => (
    { vendor: "10de", device, sameOnly: false, since: [7, 3] as const, name: "NVIDIA CPU" }
  )),
];

const BY_ID = new Map(
  LISTED_HOST_BRIDGES.map((entry) => [`${entry.vendor}:${entry.device ?? ""}`, entry]),
);

/**
 * Finds the entry for a function by which the kernel knows a host bridge.
 *
 * @param vendor four hexadecimal digits
 * @param device four hexadecimal digits
 */
export function listedHostBridge(vendor: string, device: string): ListedHostBridge | undefined {
  return BY_ID.get(`${vendor}:${device}`) ?? BY_ID.get(`${vendor}:`);
}
