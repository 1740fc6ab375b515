/**
 * Every diagnostic that comparing a policy with a host can give: the closed list of `BG2…`; `BG21…`
 * are about a host that is a file, `BG22…` about how a host's functions reach each other, `BG23…`
 * about a plan that is a file.
 * `docs/diagnostics.md` is generated from it.
 *
 * @module
 */
import type { Severity } from "./diagnostic.ts";

/** What a code means. */
export interface HostCodeEntry {
  readonly severity: Severity;
  /** One line: what is wrong. */
  readonly title: string;
  readonly why: string;
  /** What to do. */
  readonly fix: string;
  /** A refusal by policy (exit status 1), not a fact of the host (4). */
  readonly denied: boolean;
}

function fact(title: string, why: string, fix: string): HostCodeEntry {
  return { severity: "error", title, why, fix, denied: false };
}

function warning(title: string, why: string, fix: string): HostCodeEntry {
  return { severity: "warning", title, why, fix, denied: false };
}

function note(title: string, why: string, fix: string): HostCodeEntry {
  return { severity: "note", title, why, fix, denied: false };
}

function refusal(title: string, why: string, fix: string): HostCodeEntry {
  return { severity: "error", title, why, fix, denied: true };
}

/** The closed list. */
export const HOST_CODES = {
  BG2001: fact(
    "No such device",
    "Every field of a device's match must hold for one PCI function of the host.",
    "compare the match with `lspci -nn -D`; an address alone is no identity",
  ),
  BG2002: fact(
    "More than one such device",
    "A match must single out one PCI function, or a slice of the wrong device could leave.",
    "add the address to the match",
  ),
  BG2003: fact(
    "Device on another driver",
    "Bargate exports from vfio-pci only.",
    "bind it: write vfio-pci to its driver_override in sysfs, unbind its driver, and write its address to /sys/bus/pci/drivers_probe",
  ),
  BG2004: fact(
    "No VFIO node",
    "Bargate opens a device by its character device or, where the kernel makes none, by its IOMMU group.",
    "run a kernel with CONFIG_VFIO_DEVICE_CDEV and CONFIG_IOMMUFD, or with CONFIG_VFIO_GROUP",
  ),
  BG2005: fact(
    "BAR not implemented",
    "The BAR has no size, or is the upper half of the 64-bit BAR before it.",
    "name a BAR that the device has (`lspci -v` lists them as regions)",
  ),
  BG2006: fact(
    "BAR is I/O space",
    "Only memory BARs can take part in peer-to-peer DMA.",
    "name a memory BAR",
  ),
  BG2007: fact(
    "BAR smaller than a page",
    "The kernel exports whole pages inside a BAR, so such a BAR can never be exported.",
    "name another BAR",
  ),
  BG2008: fact(
    "Slice past the end of the BAR",
    "What lies behind the BAR belongs to somebody else.",
    "shorten the slice, or write `length: rest`",
  ),
  BG2009: fact(
    "Slice not aligned to the host's pages",
    "The host's page may be larger than the one that the policy was validated with.",
    "use offsets and lengths that are multiples of the host's page, and validate with --page-size",
  ),
  BG2010: fact(
    "Slice touches MSI-X structures",
    "Who can write to the MSI-X table chooses where the device's interrupts go; the kernel would export it without complaint.",
    "leave the page out, or name the range under `allowProtected` with a reason",
  ),
  BG2011: fact(
    "Protected ranges unknown",
    "Where the MSI-X table lies is written in configuration space that only root may read, and a function that is gone or without power answers with ones.",
    "run as root, with the device awake; an inventory has to be taken so too",
  ),
  BG2012: fact(
    "Revocation would hit other grants",
    "The kernel takes back a device's buffers all at once, so ending one grant may need to end and renew the others.",
    "accept that with `collateral: device`, or give the device to one grant only",
  ),
  BG2013: refusal(
    "Slice denied",
    "A deny rule always wins, in whichever file it stands and by whatever name it knows the device.",
    "leave the denied range out",
  ),
  BG2014: refusal(
    "Nothing is allowed",
    "What no rule allows is denied.",
    "name the importer under `importers` of an export",
  ),
  BG2015: fact(
    "Kernel too old",
    "Exporting BARs of VFIO devices as dma-bufs came with Linux 6.19.",
    "run Linux 7.1 or later",
  ),
  BG2016: fact(
    "Kernel revokes without waiting",
    "Linux 6.19 to 7.0 do not wait in a revoke until importers have unmapped, so the end of a grant says nothing about DMA in flight.",
    "run Linux 7.1 or later, or accept it with --accept-unwaited-revoke",
  ),
  BG2017: fact(
    "No such importer device",
    "An importer's `device` declares which PCI function will do the DMA; all that it says must hold for one function of the host.",
    "compare it with `lspci -nn -D`, `rdma link` or the names under /sys/class/drm and /sys/class/nvme",
  ),
  BG2018: fact(
    "More than one such importer device",
    "Whether one device can reach another is judged by where the two are, so the declaration must single out one PCI function.",
    "add the address to the importer's device",
  ),
  BG2019: fact(
    "Importer device on another driver",
    "The importer's `driver` attaches to buffers for functions that are bound to it; for this one it never will.",
    "declare the function that is bound to the importer's driver, or correct the driver",
  ),
  BG2020: fact(
    "Names of devices not known",
    "The inventory does not say which RDMA, DRM and NVMe devices the host has.",
    "take the inventory again, or declare the importer's device by its address",
  ),
  BG2021: fact(
    "Device cannot be judged",
    "A field that the match names could not be read: a serial number stands in extended configuration space, which only a privileged reader sees. A function of which a field is out of sight is neither the device nor not the device; a deny falls on it.",
    "run as root (CAP_SYS_ADMIN); an inventory has to be taken by root too",
  ),
  BG2022: fact(
    "Bytes granted twice",
    "On this host two rules are about one device, by different matches, and their slices overlap.",
    "say `shared: true` in each of the rules if sharing is meant; else make the slices or the matches apart",
  ),
  BG2023: fact(
    "One device acquired in two ways",
    "On this host two names are one device; Bargate can open it or borrow it, and from one owner, but not both.",
    "make the matches apart, or say the same of both devices",
  ),
  BG2024: fact(
    "No NVMe controller",
    "Regions with a name of NVMe exist in controllers of the class 010802 only.",
    "name another device, or write slices",
  ),
  BG2025: fact(
    "Controller memory buffer not known",
    "Where it is stands in the controller's own registers, which are read only when the device is opened for it. `export` asks by itself; `plan` and `inventory` ask with --probe, for opening a device tries a reset of it. A controller that is borrowed is its owner's, and is not asked.",
    "plan with --probe, or take the inventory with it; of a borrowed device, write the slices that it is",
  ),
  BG2026: fact(
    "Controller memory buffer not enabled",
    "The controller has one, but says neither where nor how large it is before it is enabled (CMBMSC).",
    "let Bargate enable it (`enableCmb: true` at the device)",
  ),
  BG2027: fact(
    "No controller memory buffer",
    "The controller says that it has none.",
    "name a controller that has one, or write slices",
  ),
  BG2028: fact(
    "Controller memory buffer in another BAR",
    "The rule names the BAR so that people see what is exported, and the controller says another.",
    "correct `bar`",
  ),
  BG2029: fact(
    "Controller memory buffer cannot be enabled by Bargate",
    "`enableCmb` writes CMBMSC with the buffer's address on the bus. Where it will be the controller says only when it is opened for it, and where its BAR is stands in its configuration space; a virtual function has no such register. A buffer that is larger than its BAR is not enabled: the controller would take addresses of others for its own.",
    "plan on the host itself with --probe, or let the controller's own driver enable it",
  ),
  BG2031: fact(
    "Another device at the address",
    "The function at the address that the policy gives is not the one that it describes: somebody has moved or replaced a card, or numbered the buses anew.",
    "look where the device is now, and correct the policy; never its id alone, to fit what is there",
  ),
  BG2032: fact(
    "VFIO driver that does not export",
    "Bargate exports from vfio-pci only: its variants for one kind of device do not offer VFIO_DEVICE_FEATURE_DMA_BUF, or have BARs of their own making.",
    "bind it to vfio-pci itself: write vfio-pci to its driver_override in sysfs, unbind its driver, and write its address to /sys/bus/pci/drivers_probe",
  ),
  BG2033: fact(
    "Kernel built without an option",
    "What the option is for is not in this kernel, whatever its release.",
    "build or install a kernel with the option set to y, or to m where it can be a module",
  ),
  BG2034: fact(
    "Importer's driver is not there",
    "No PCI function of the host is bound to a driver by which the importer could attach to a buffer.",
    "load the driver (`modprobe`), look in `dmesg` why it has not bound, or name the driver that the importer uses",
  ),
  BG2035: fact(
    "Node not open to this account",
    "A device is opened by its node in /dev/vfio, for reading and writing.",
    "run as root, or let a udev rule give the node to a group that this account is in",
  ),
  BG2036: fact(
    "Borrowed device asleep",
    "Every call would wake the device and take its owner out of low power.",
    "let the owner wake it, and keep it awake while it is exported from",
  ),
  BG2037: fact(
    "Borrowed device decodes no memory",
    "The kernel exports from it without complaint, and the buffer is revoked from the start.",
    "let the owner set the Memory Space bit of the command register",
  ),
  BG2038: fact(
    "Importer's driver too old in this kernel",
    "The driver of this release cannot attach to buffers of VFIO.",
    "run a kernel that is recent enough, or name another driver",
  ),
  BG2039: fact(
    "Too few open files allowed",
    "Each grant is a descriptor, each device several; the export would fail half way (EMFILE).",
    "raise the limit (`ulimit -n`, LimitNOFILE= of the unit), or export fewer slices by one process",
  ),
  BG2040: {
    ...fact(
      "Little memory may be locked",
      "Exported slices are no memory of the process and count for nothing, but an RDMA program locks queues and buffers of its own.",
      "raise the limit (`ulimit -l`, LimitMEMLOCK= of the unit) unless the importer gets it elsewhere",
    ),
    severity: "warning",
  },
  BG2041: {
    ...fact(
      "Taken back only with the importer's help",
      "A borrowed device is its owner's to reset and to close; the policy has said so with `revocation: cooperative`.",
      "where that is not enough, let Bargate open the device: `acquire: open`",
    ),
    severity: "note",
  },
  BG2042: fact(
    "Device refuses",
    "`preflight --live` has opened the device, or has tried to, and asked whether it can export; or `plan --probe` or `export`, to ask where its memory buffer is.",
    "do what the message says, or see `bargate explain` for the errno that it names",
  ),
  BG2044: fact(
    "Importer's name not on this host",
    "An importer is who its policy says if it runs as that account, in that group, from that file. What this host does not have is nobody.",
    "make the account or the group, install the program, or correct the policy",
  ),
  BG2045: {
    ...fact(
      "Function left out",
      "A function of the host could not be read: it vanished, or a file of it holds what the kernel never writes. Nothing is judged by it: neither that it is in a group, nor that it is the device.",
      "look at the function in /sys/bus/pci/devices, and run again",
    ),
    severity: "warning",
  },
  BG2046: {
    ...fact(
      "Field left out",
      "A file of sysfs is there and holds what the kernel never writes; what it says is not known, and decisions are made without it.",
      "look at the file, and run again",
    ),
    severity: "warning",
  },
  BG2049: fact(
    "Device cannot be resumed",
    "Runtime power management of the device has failed (power/runtime_status says error), and the kernel resumes it no more: to open it answers EINVAL, and every call on it EIO.",
    "look in `dmesg` for what failed, then remove the function (`remove` in sysfs) and let the bus be scanned again (`rescan`)",
  ),
  BG2050: {
    ...fact(
      "Deny that falls on nothing",
      "A deny guards the device that its match describes. None is here, but the host has one of that kind that differs in another field: it may be the same card, moved, bound anew or replaced, and nothing denies it any more.",
      "look whether the function that is named is the one to be guarded, and correct the match; nothing is to be done where the deny is for another host",
    ),
    severity: "warning",
  },
  BG2051: fact(
    "Importer has no RDMA device",
    "Programs register memory regions with an RDMA device, which mlx5_ib or irdma makes of the function; the function's own driver alone imports nothing. Devices of another network namespace may be out of sight.",
    "load the RDMA driver (`modprobe mlx5_ib`, `modprobe irdma`), see what `rdma link` lists, and run in the network namespace of the importer",
  ),
  BG2052: fact(
    "Device or group open elsewhere",
    "A device that another process has bound is bound to no second one (EINVAL), and an IOMMU group whose DMA another process owns is owned by it alone (EPERM; EBUSY where it opened the group). The inventory says who had it open then.",
    "stop that process, or borrow the device from it (`acquire: borrow`); take the inventory again",
  ),
  BG2053: fact(
    "Borrowed device not open",
    "A device is borrowed by a copy of its owner's descriptor, and when the inventory was taken no process had one.",
    "start the owner, or let Bargate open the device (`acquire: open`); take the inventory again",
  ),
  BG2054: fact(
    "Kernel release not known",
    "A release begins with two numbers (`7.3`). By this one nobody can tell whether the kernel exports BARs of VFIO devices, nor whether its revoke waits until importers have unmapped.",
    "take the inventory on the host itself, where `uname -r` says the release",
  ),
  BG2055: warning(
    "Registers or doorbells of a controller",
    "BAR 0 of an NVMe controller begins with its registers: whoever writes these stops the controller and gives its queues other memory. Its doorbells follow from 0x1000 on, those of the admin queue first.",
    "leave BAR 0 out, or, where the importer is to ring doorbells, write `region: nvme.doorbells`",
  ),
  BG2056: warning(
    "Slice outside the controller's memory buffer",
    "The controller was asked what is where, and the slice is of something else: a persistent memory region, or bytes whose meaning only the vendor knows. Or the buffer is not enabled, and nothing answers there.",
    "write `region: nvme.cmb`, which is where the controller says that its buffer is, or correct the slices",
  ),
  BG2057: note(
    "The owner's resets are not seen by themselves",
    "What the owner of a borrowed device does to it hits the slices that were lent, and only the kernel's revoke routine tells of it: without --trace-revokes, what `onReset` says comes true for resets that others make.",
    "export with --trace-revokes (root, as borrowing is)",
  ),
  BG2058: note(
    "Protected structures leave",
    "Who can write to the MSI-X table chooses where the device's interrupts go. The policy names it under `allowProtected`; its reason is shown so that whoever reviews the plan sees it.",
    "leave the page out, unless the reason holds for this importer",
  ),
  BG2059: note(
    "A kernel that revokes without waiting was accepted",
    "Linux 6.19 to 7.0 do not wait in a revoke until importers have unmapped: the end of a grant says nothing about DMA in flight.",
    "run Linux 7.1 or later",
  ),
  BG2060: note(
    "Deny that falls on nothing anywhere",
    "No host that was looked at has a device of the kind that the deny describes. Where it is for other hosts, that is as it should be; a mistyped class or id guards nothing, and nothing else tells of it.",
    "compare the match with the devices that are to be guarded (`bargate inventory` lists them)",
  ),
  BG2101: fact(
    "Inventory is no JSON",
    "Nothing after the place can be read.",
    "mend the file there, or take it again with `bargate inventory --format json`",
  ),
  BG2102: fact(
    "Inventory is not UTF-8",
    "JSON is UTF-8 without a byte order mark.",
    "save the file as UTF-8",
  ),
  BG2103: fact(
    "Inventory too large",
    "Files and nesting are bounded, so that a file that somebody sent costs no more than its size.",
    "take the inventory of fewer devices with --device",
  ),
  BG2104: fact(
    "No inventory",
    "Only `apiVersion: bargate/v1` with `kind: HostSnapshot` is read.",
    "give a file that `bargate inventory --format json` wrote",
  ),
  BG2105: fact(
    "Field missing",
    "What is absent could be anything, and decisions rest on it.",
    "add the field, or take the inventory again",
  ),
  BG2106: fact(
    "Unknown field",
    "A field with a mistyped name would be ignored in silence.",
    "remove it, or write its name as in docs/inventory.md",
  ),
  BG2107: fact(
    "Field given twice",
    "Readers of JSON disagree about which one counts.",
    "remove one of them",
  ),
  BG2108: fact(
    "Value of the wrong type",
    "64-bit numbers are strings, for many readers of JSON make floating-point numbers of numbers.",
    "write it as in docs/inventory.md",
  ),
  BG2109: fact(
    "Value of the wrong form",
    "Every value has one form, the one that sysfs has or that hexadecimal numbers have, so that what is equal looks equal.",
    "write it in the form that is expected",
  ),
  BG2110: fact(
    "Number out of range",
    "Addresses and sizes have 64 bits, sums of them too.",
    "correct the number",
  ),
  BG2111: fact(
    "Hidden character",
    "Names with control characters, or with characters that look like others, deceive who reads them.",
    "write printable ASCII only",
  ),
  BG2112: fact(
    "Configuration space of the wrong length or form",
    "It has 64 bytes (what an ordinary user may read) to 4096, two lower-case hexadecimal digits each.",
    "take the inventory again",
  ),
  BG2113: fact(
    "Function given twice",
    "An address is one function.",
    "remove one of them",
  ),
  BG2114: fact(
    "Bridge above is missing",
    "Resets of a bridge hit what is below it, so every bridge on the way up must be in the inventory.",
    "add the bridge, or take the inventory again",
  ),
  BG2115: fact(
    "Circle of bridges",
    "The way up from a function ends at a root bus.",
    "correct `parent`",
  ),
  BG2116: fact(
    "Physical function is missing, virtual or elsewhere",
    "A virtual function belongs to a physical one, which must be in the inventory too, and is below the same bridge.",
    "correct `physfn`, or take the inventory again",
  ),
  BG2117: fact(
    "BAR taken",
    "A function has six places for BARs, and a 64-bit BAR takes two of them.",
    "correct the index or the kind",
  ),
  BG2118: fact(
    "BARs overlap",
    "Two BARs of one PCI domain never share an address.",
    "correct start or size; a BAR that is not assigned starts at 0x0",
  ),
  BG2119: {
    ...fact(
      "Configuration space of another function",
      "Capabilities, and with them the protected ranges, are derived from these bytes.",
      "take the inventory again",
    ),
    severity: "warning",
  },
  BG2120: {
    ...fact(
      "More problems",
      "Only the first hundred are told.",
      "mend those that are told, and look again",
    ),
    severity: "note",
  },
  BG2121: fact(
    "Wrong name of a device",
    "Policies name importers' devices by these names, and each must lead to one function.",
    "correct the name or the function, or take the inventory again",
  ),
  BG2122: fact(
    "Inventory cannot be read",
    "Nothing is known of this host; the others are looked at all the same.",
    "check the path and its permissions",
  ),
  BG2123: fact(
    "What is above is no bridge",
    "Above a function is a bridge of the same PCI domain, and a domain has 256 buses: a way up that is longer cannot be. Domains of their own, as volume management devices make them, have root buses of their own.",
    "correct `parent`, or take the inventory again",
  ),
  BG2124: fact(
    "Node of another function or group",
    "A character device is of one function, and a group's node has the number of the group. A node that is not the function's own opens something else than was planned.",
    "correct `cdev`, `groupNode` or `iommuGroup`, or take the inventory again",
  ),
  BG2125: fact(
    "Function both there and left out",
    "What is left out could not be read, and is not known. Both are possible only where a group says that the function is in it, and the function says that it is in another.",
    "remove one of them, or take the inventory again",
  ),
  BG2201: fact(
    "IOMMU group not viable",
    "VFIO owns an IOMMU group as a whole: a driver that is bound to another function of it and does DMA through the kernel keeps it from being opened (EPERM).",
    "bind the other functions to vfio-pci or to no driver, or put the device where it has a group of its own",
  ),
  BG2202: fact(
    "No peer-to-peer path",
    "When an importer maps the buffer, the kernel asks whether requests get from its function to the device: straight on below a common bridge, or through a host bridge that lets them pass. If neither, mapping answers EINVAL.",
    "put both below one switch, or name another importer function",
  ),
  BG2203: note(
    "Some functions have no peer-to-peer path",
    "The policy does not say which function will do the DMA, and the importer's driver has several; with these it cannot be had.",
    "declare the importer's device, or have the importer use another function",
  ),
  BG2204: note(
    "Path through the host bridge",
    "Requests go up to the root complex and down again: slower, but checked by the IOMMU. The kernel then maps CPU addresses instead of bus addresses.",
    "nothing, where that is fast enough; a direct path gives up isolation, and with it perhaps the device's own IOMMU group (docs/topology.md)",
  ),
  BG2205: {
    ...fact(
      "Path not checked",
      "What decides could not be read, or is not on the host yet. The kernel decides when the importer maps the buffer.",
      "take the inventory as root, with the importer's function bound to its driver",
    ),
    severity: "warning",
  },
  BG2206: {
    ...fact(
      "IOMMU group not known",
      "VFIO owns an IOMMU group as a whole, and a function that may be in this one, its driver, or the group itself could not be read: a driver may hold the group, and opening the device then answers EPERM.",
      "look at the function in /sys/bus/pci/devices, and run again; take an inventory again",
    ),
    severity: "warning",
  },
  BG2207: fact(
    "No IOMMU confines the device",
    "Without an IOMMU a device that VFIO gives out can read and write all of memory (no-IOMMU mode: CAP_SYS_RAWIO, and the kernel is tainted), and importers of driver iommufd have nothing to map into. What a policy says of slices would hold for nobody, so that nothing is exported.",
    "switch the IOMMU on (VT-d or AMD-Vi in the firmware's setup, intel_iommu=on on the kernel's command line), and bind the device anew",
  ),
  BG2301: fact(
    "Plan is no JSON",
    "Nothing after the place can be read.",
    "make the plan anew with `bargate plan --out`",
  ),
  BG2302: fact(
    "Plan is not UTF-8",
    "JSON is UTF-8 without a byte order mark.",
    "make the plan anew with `bargate plan --out`",
  ),
  BG2303: fact(
    "Plan too large",
    "Files and nesting are bounded, so that a file that somebody sent costs no more than its size.",
    "plan fewer policies at once, or one importer (--importer)",
  ),
  BG2304: fact(
    "No plan",
    "Only `apiVersion: bargate/v1` with `kind: ExportPlan` is read.",
    "give a file that `bargate plan --out` wrote",
  ),
  BG2305: fact(
    "Field missing in a plan",
    "A plan says which policies and which options it is of.",
    "make the plan anew with `bargate plan --out`",
  ),
  BG2306: fact(
    "Field given twice in a plan",
    "Readers of JSON disagree about which one counts.",
    "make the plan anew with `bargate plan --out`",
  ),
  BG2307: fact(
    "Value of the wrong type in a plan",
    "What says which policies and options a plan is of must be readable.",
    "make the plan anew with `bargate plan --out`",
  ),
  BG2310: refusal(
    "Plan of other policies",
    "A plan allows nothing by itself: the policies that are given decide, and they are not those that were planned.",
    "look at what differs with `bargate diff`, plan anew, and have that plan reviewed",
  ),
  BG2311: fact(
    "Host has drifted from the plan",
    "What would be done now is not what was planned and reviewed.",
    "put the host back as it was, or plan anew and have that plan reviewed",
  ),
  BG2312: note(
    "More differences",
    "Only the first differences from a plan are told.",
    "plan anew and compare the two files",
  ),
} as const satisfies Readonly<Record<string, HostCodeEntry>>;

/** One of the codes. */
export type HostCode = keyof typeof HOST_CODES;
