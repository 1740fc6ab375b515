/** QEMU's command line, as data. @module */
import type { LabDevice } from "./topology.ts";

/** Processors that cases can have besides the usual one, `max` of QEMU: all that it emulates. */
export const OTHER_PROCESSORS = ["EPYC"] as const;

/** QEMU's name of one of them. */
export type OtherProcessor = typeof OTHER_PROCESSORS[number];

/** All that decides about the machine. */
export interface MachineDescription {
  /** Absent: the usual one. */
  readonly processor?: OtherProcessor;
  readonly kernel: string;
  readonly initramfs: string;
  readonly devices: readonly LabDevice[];
  /** Folder on the host that the guest may write to. */
  readonly exchange: string;
  /** Unix socket that gets the kernel's log. */
  readonly logSocket: string;
  /** Unix socket that gets the guest's JSON lines. */
  readonly messageSocket: string;
  /** Connects a second serial port to this process's terminal. */
  readonly terminal: boolean;
}

/** 9p tag of the host's root. */
export const ROOT_TAG = "hostroot";
/** 9p tag of the exchange folder. */
export const EXCHANGE_TAG = "exchange";
/** Name of the port that carries JSON lines. */
export const MESSAGE_PORT = "bargate.lab";

// A timer that an emulator on a busy host is late with is no broken one: unchecked, it is no panic.
const KERNEL_LINE = "console=ttyS0 panic=-1 intel_iommu=on printk.devkmsg=on no_timer_check";

/**
 * @param machine what to run
 * @returns QEMU's arguments
 */
export function commandLine(machine: MachineDescription): readonly string[] {
  return [
    ...board(machine.processor ?? "max"),
    ["-kernel", machine.kernel],
    ["-initrd", machine.initramfs],
    ["-append", KERNEL_LINE],
    // the IOMMU comes before the devices that it serves
    ["-device", "intel-iommu,intremap=on,caching-mode=on"],
    ...shares(machine),
    ...channels(machine),
    ...machine.devices.flatMap((device) => device.qemu),
  ].flat();
}

function board(processor: string): readonly (readonly string[])[] {
  return [
    ["-accel", "tcg,thread=multi"],
    ["-machine", "q35,kernel-irqchip=split"],
    ["-cpu", processor],
    ["-smp", "2"],
    ["-m", "3G"],
    ["-nodefaults"],
    ["-display", "none"],
    ["-no-reboot"],
  ];
}

function shares(machine: MachineDescription): readonly (readonly string[])[] {
  return [
    ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap"],
    ["-device", `virtio-9p-pci,fsdev=root,mount_tag=${ROOT_TAG},addr=0x4`],
    ["-fsdev", `local,id=exchange,path=${escapeOption(machine.exchange)},security_model=none`],
    ["-device", `virtio-9p-pci,fsdev=exchange,mount_tag=${EXCHANGE_TAG},addr=0x5`],
  ];
}

function channels(machine: MachineDescription): readonly (readonly string[])[] {
  const terminal = machine.terminal
    ? [["-chardev", "stdio,id=terminal,signal=off,mux=on"], ["-serial", "chardev:terminal"]]
    : [];
  return [
    ["-chardev", `socket,id=log,path=${escapeOption(machine.logSocket)}`],
    ["-serial", "chardev:log"],
    ...terminal,
    ["-device", "virtio-serial-pci,id=ports,addr=0x6"],
    ["-chardev", `socket,id=messages,path=${escapeOption(machine.messageSocket)}`],
    ["-device", `virtserialport,bus=ports.0,chardev=messages,name=${MESSAGE_PORT}`],
  ];
}

/** In QEMU's option lists a comma inside a value is written twice. */
function escapeOption(value: string): string {
  return value.replaceAll(",", ",,");
}
