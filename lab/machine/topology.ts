/**
 * The laboratory's machine: which device sits where, as data. `docs/laboratory.md` draws it.
 *
 * Addresses are fixed by `addr=` on the root bus; the firmware numbers the buses behind the root
 * ports in the order of their slots.
 *
 * @module
 */

/** What a test case calls a device. */
export type Role =
  | "nvme"
  | "nvme2"
  | "nativeNvme"
  | "sriov"
  | "dual0"
  | "dual1"
  | "peerMemory"
  | "peerDisk"
  | "edu"
  | "nic"
  | "ivshmem";

/** A device of the laboratory. */
export interface LabDevice {
  readonly role: Role;
  /** Where the guest finds it. */
  readonly address: string;
  /** vendor:device. */
  readonly id: string;
  /** Serial number, where the device has one. */
  readonly serial?: string;
  /** The driver that the guest binds to it before the first case. */
  readonly driver: "vfio-pci" | "nvme";
  readonly about: string;
  /** QEMU's `-device` values (bridges first) and other options. */
  readonly qemu: readonly (readonly [option: string, value: string])[];
}

/** Bytes of the controller memory buffer of the controllers that have one (BAR 2). */
export const CMB_BYTES = 16 * 1024 * 1024;
const CMB_MIB = CMB_BYTES / 1024 / 1024;

/** Bytes of the persistent memory region of `nvme2` (BAR 4). */
export const PMR_BYTES = 1024 * 1024;

/** Bytes of `ivshmem`'s memory (BAR 2). */
export const IVSHMEM_BYTES = 1024 * 1024;

/** Virtual functions that `sriov` can have at most. */
export const MOST_VFS = 2;

/**
 * What SR-IOV takes of the controller: a subsystem, queues and vectors for the virtual functions.
 * QEMU gives such a controller no memory buffer.
 */
const SRIOV_OPTIONS = [
  "subsys=sriov-subsys",
  `sriov_max_vfs=${MOST_VFS}`,
  `sriov_vq_flexible=${2 * MOST_VFS}`,
  `sriov_vi_flexible=${MOST_VFS}`,
  `max_ioqpairs=${2 * MOST_VFS + 2}`,
  `msix_qsize=${MOST_VFS + 1}`,
].join(",");

function nvme(
  role: Role,
  slot: number,
  serial: string,
  driver: LabDevice["driver"],
  about: string,
  options = `cmb_size_mb=${CMB_MIB}`,
): LabDevice {
  const port = `${role}-port`;
  return {
    role,
    address: `0000:0${slot}:00.0`,
    id: "1b36:0010",
    serial,
    driver,
    about,
    qemu: [
      [
        "-device",
        // Of a faster port the kernel waits for the link after a bus reset, which QEMU never brings up.
        `pcie-root-port,id=${port},chassis=${slot},slot=${slot},x-speed=5,addr=0x${
          (0xf + slot).toString(16)
        }`,
      ],
      [
        "-device",
        `nvme,id=${role},bus=${port},serial=${serial},${options}`,
      ],
    ],
  };
}

/** Two functions of one device behind one root port, which are reset together: one reset domain. */
function dual(slot: number, rootAddress: string): readonly LabDevice[] {
  const port =
    `pcie-root-port,id=dual-port,chassis=${slot},slot=${slot},x-speed=5,addr=${rootAddress}`;
  return ([["dual0", 0], ["dual1", 1]] as const).map(([role, number]) => {
    const serial = `bargate-${slot}-${number}`;
    const at = `addr=00.${number}${number === 0 ? ",multifunction=on" : ""}`;
    const controller =
      `nvme,id=${role},bus=dual-port,serial=${serial},${at},cmb_size_mb=${CMB_MIB}`;
    return {
      role,
      address: `0000:0${slot}:00.${number}`,
      id: "1b36:0010",
      serial,
      driver: "vfio-pci",
      about: `exporter: function ${number} of a device of two, reset together`,
      qemu: [...(number === 0 ? [["-device", port] as const] : []), ["-device", controller]],
    };
  });
}

/**
 * Two functions of one device in use by the kernel: one has a memory buffer, the other a disk, of
 * zeros. Reading the disk into the buffer makes the kernel decide about the path between the two.
 */
function peers(slot: number, rootAddress: string): readonly LabDevice[] {
  const port =
    `pcie-root-port,id=peer-port,chassis=${slot},slot=${slot},x-speed=5,addr=${rootAddress}`;
  const serial = (number: number) => `bargate-${slot}-${number}`;
  const base = { id: "1b36:0010", driver: "nvme" } as const;
  return [
    {
      ...base,
      role: "peerMemory",
      address: `0000:0${slot}:00.0`,
      serial: serial(0),
      about: "memory that the kernel lends for peer-to-peer DMA",
      qemu: [
        ["-device", port],
        [
          "-device",
          `nvme,id=peerMemory,bus=peer-port,serial=${
            serial(0)
          },addr=00.0,multifunction=on,cmb_size_mb=${CMB_MIB}`,
        ],
      ],
    },
    {
      ...base,
      role: "peerDisk",
      address: `0000:0${slot}:00.1`,
      serial: serial(1),
      about: "a disk, beside it",
      qemu: [
        ["-blockdev", "driver=null-co,node-name=zeros,size=1048576,read-zeroes=on"],
        ["-device", `nvme,id=peerDisk,bus=peer-port,serial=${serial(1)},addr=00.1,drive=zeros`],
      ],
    },
  ];
}

/** QEMU makes its Device Serial Number of the Ethernet address. */
const NIC_SERIAL = "00-1b-21-ff-ff-a0-12-34";
const NIC_ADDRESS = "00:1b:21:a0:12:34";

/** Its virtual functions are 04:00.1 and 04:00.2, once somebody has asked the driver for them. */
function sriov(): LabDevice {
  const about = "physical function: virtual functions are made of it";
  const device = nvme("sriov", 4, "bargate-4", "nvme", about, SRIOV_OPTIONS);
  return { ...device, qemu: [["-device", "nvme-subsys,id=sriov-subsys"], ...device.qemu] };
}

/** It has a persistent memory region beside its buffer, which nobody has enabled. */
function persistent(): LabDevice {
  const about = "a second exporter with the same id, and persistent memory in BAR 4";
  const options = `cmb_size_mb=${CMB_MIB},pmrdev=persistent`;
  const device = nvme("nvme2", 2, "bargate-2", "vfio-pci", about, options);
  const memory = `memory-backend-ram,id=persistent,size=${PMR_BYTES},share=on`;
  return { ...device, qemu: [["-object", memory], ...device.qemu] };
}

/**
 * @param sharedMemory file on the host that backs `ivshmem`'s BAR 2
 * @returns the devices, in slot order
 */
export function labDevices(sharedMemory: string): readonly LabDevice[] {
  return [
    nvme("nvme", 1, "bargate-1", "vfio-pci", "exporter: NVMe controller, memory buffer in BAR 2"),
    persistent(),
    nvme("nativeNvme", 3, "bargate-3", "nvme", "a controller in use by the kernel's own driver"),
    sriov(),
    ...dual(5, "0x16"),
    ...peers(6, "0x17"),
    {
      role: "edu",
      address: "0000:00:14.0",
      id: "1234:11e8",
      driver: "vfio-pci",
      about: "importer's DMA engine",
      qemu: [["-device", "edu,id=edu,addr=0x14"]],
    },
    {
      role: "ivshmem",
      address: "0000:00:15.0",
      id: "1af4:1110",
      driver: "vfio-pci",
      about: "plain memory in BAR 2, BAR 0 of 256 bytes, no reset",
      qemu: [
        [
          "-object",
          `memory-backend-file,id=shared,size=${IVSHMEM_BYTES},mem-path=${sharedMemory},share=on`,
        ],
        ["-device", "ivshmem-plain,id=ivshmem,memdev=shared,addr=0x15"],
      ],
    },
    {
      role: "nic",
      address: "0000:00:18.0",
      id: "8086:10d3",
      serial: NIC_SERIAL,
      driver: "vfio-pci",
      about: "a device with a Device Serial Number; it has no network",
      qemu: [["-device", `e1000e,id=nic,mac=${NIC_ADDRESS},romfile=,addr=0x18`]],
    },
  ];
}
