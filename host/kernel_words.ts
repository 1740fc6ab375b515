/**
 * The words that the kernel, or Bargate itself, can have written where a snapshot has room for any
 * text. Whatever else stands there somebody made up.
 *
 * @module
 */
import { PCI_ADDRESS_PATTERN } from "./address.ts";
import { NO_RIGHT, type Unreadable } from "./snapshot.ts";

/** What a redacted snapshot says of a function whose capabilities overlap. */
export const CONFIG_CUT: Unreadable = {
  field: "config beyond 64 bytes, where capabilities overlap",
  right: "the inventory as it was",
};

/** Fields whose texts have words of this kind. */
export type WordKind =
  | "iommu"
  | "drm"
  | "nvme"
  | "reset"
  | "power"
  | "runtime"
  | "processor"
  | "driver"
  | "field"
  | "right";

const NUMBER = "(?:0|[1-9][0-9]{0,8})";

function anyOf(...alternatives: readonly string[]): RegExp {
  return new RegExp(`^(?:${alternatives.join("|")})$`);
}

const WORDS: Readonly<Record<WordKind, RegExp>> = {
  // iommu_device_sysfs_add() of Intel's, AMD's, Arm's, S/390's and virtio's drivers.
  iommu: anyOf(
    `dmar${NUMBER}`,
    `ivhd${NUMBER}`,
    "smmu3?\\.0x[0-9a-f]{8,16}",
    "s390-iommu\\.[0-9a-f]{8}",
    PCI_ADDRESS_PATTERN,
  ),
  drm: anyOf(`card${NUMBER}`, `renderD${NUMBER}`),
  nvme: anyOf(`nvme${NUMBER}`),
  // pci_reset_fn_methods in drivers/pci/pci.c.
  reset: anyOf("device_specific", "acpi", "flr", "af_flr", "pm", "bus", "cxl_bus"),
  // pci_power_names in drivers/pci/pci.c.
  power: anyOf("error", "D0", "D1", "D2", "D3hot", "D3cold", "unknown"),
  // runtime_status_show in drivers/base/power/sysfs.c.
  runtime: anyOf("error", "unsupported", "suspended", "suspending", "resuming", "active"),
  // c_vendor of the processors in arch/x86/kernel/cpu.
  processor: anyOf(
    "AuthenticAMD",
    "CentaurHauls",
    "CyrixInstead",
    "Geode by NSC",
    "GenuineIntel",
    "GenuineTMx86",
    "HygonGenuine",
    " {2}Shanghai {2}",
    "TransmetaCPU",
    "UMC UMC UMC",
    "Vortex86 SoC",
    "unknown",
  ),
  // There is no list of them: what could be one.
  driver: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/,
  // What host/ puts into `unreadable`.
  field: anyOf(
    `config beyond 64 bytes|${CONFIG_CUT.field}`,
    "driver|driverOverride|iommuGroup|physfn|sriov|numaNode|slot|cdev|cdevAccess|groupAccess",
    "resetMethods|powerState|runtimeStatus|iommu|cpu|rdma|drm|nvme",
    `openBy, of ${NUMBER} processes`,
    `access of /dev/vfio/(?:noiommu-)?${NUMBER}`,
    "kernel\\.config in /proc/config\\.gz",
    `/sys/bus/pci/devices/${PCI_ADDRESS_PATTERN}(?:/iommu_group/devices|/virtfn${NUMBER})?`,
  ),
  right: anyOf(
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_DAC_READ_SEARCH",
    NO_RIGHT,
    CONFIG_CUT.right,
  ),
};

/**
 * Whether a text is one that the kernel, or Bargate, can have written.
 *
 * @param kind of the field that it stands in
 * @param text of the field
 *
 * @example
 * ```ts
 * import { isKernelWord } from "./kernel_words.ts";
 *
 * if (!isKernelWord("nvme", "nvme0") || isKernelWord("nvme", "rack7")) throw new Error("wrong");
 * ```
 */
export function isKernelWord(kind: WordKind, text: string): boolean {
  return WORDS[kind].test(text);
}
