/**
 * PCI addresses, `dddd:bb:dd.f`. The kernel prints a domain in four digits, and in as many as it
 * takes where that is not enough: domains of volume management devices begin at `10000`. So there
 * is one way to write an address, and addresses are compared as texts.
 *
 * @module
 */

const DOMAIN = "(?:[0-9a-f]{4}|[1-9a-f][0-9a-f]{4,7})";

/** What a PCI address looks like, for a larger regular expression. */
export const PCI_ADDRESS_PATTERN = `${DOMAIN}:[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]`;

const ADDRESS = new RegExp(`^${PCI_ADDRESS_PATTERN}$`);

/**
 * Whether a text is a full PCI address as sysfs writes it (lower case, with domain).
 *
 * @param text for example a name in `/sys/bus/pci/devices`
 * @returns true for `0000:03:00.0`
 *
 * @example
 * ```ts
 * import { isPciAddress } from "./address.ts";
 *
 * if (!isPciAddress("0000:03:00.0")) throw new Error("an address");
 * if (!isPciAddress("10000:01:00.0")) throw new Error("an address behind a volume management device");
 * if (isPciAddress("03:00.0")) throw new Error("no domain");
 * if (isPciAddress("00010000:01:00.0")) throw new Error("not as the kernel prints it");
 * ```
 */
export function isPciAddress(text: string): boolean {
  return ADDRESS.test(text);
}

/**
 * The address that somebody meant who wrote it in another way: without domain as `lspci` does, in
 * upper case, or with a domain of too many zeros.
 *
 * @param text as received
 * @returns the address as sysfs writes it; absent: the text is none
 *
 * @example
 * ```ts
 * import { meantPciAddress } from "./address.ts";
 *
 * if (meantPciAddress("00010000:E1:00.0") !== "10000:e1:00.0") throw new Error("wrong");
 * if (meantPciAddress("e1:00.0") !== "0000:e1:00.0") throw new Error("wrong");
 * ```
 */
export function meantPciAddress(text: string): string | undefined {
  const lower = text.trim().toLowerCase().replace(/^0+(?=[0-9a-f]{4,}:)/, "");
  const whole = /^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/.test(lower) ? `0000:${lower}` : lower;
  return isPciAddress(whole) ? whole : undefined;
}

/** What an address says. */
export interface PciPlace {
  readonly domain: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number;
}

/**
 * Reads an address.
 *
 * @param address as sysfs writes it
 * @returns its numbers
 * @throws {TypeError} if it is none
 *
 * @example
 * ```ts
 * import { parsePciAddress } from "./address.ts";
 *
 * if (parsePciAddress("10000:e1:1f.7").domain !== 0x10000) throw new Error("wrong");
 * ```
 */
export function parsePciAddress(address: string): PciPlace {
  if (!isPciAddress(address)) {
    throw new TypeError(`Cannot read a PCI address: it is none (received ${address})`);
  }
  const [domain, bus, device, fn] = address.split(/[:.]/).map((digits) => parseInt(digits, 16));
  return { domain: domain ?? 0, bus: bus ?? 0, device: device ?? 0, function: fn ?? 0 };
}

/**
 * Writes an address as the kernel does (`%04x:%02x:%02x.%d`).
 *
 * @param place its numbers
 * @returns for example `0000:03:00.0`
 *
 * @example
 * ```ts
 * import { formatPciAddress } from "./address.ts";
 *
 * const text = formatPciAddress({ domain: 0x10000, bus: 0xe1, device: 0, function: 0 });
 * if (text !== "10000:e1:00.0") throw new Error("wrong");
 * ```
 */
export function formatPciAddress({ domain, bus, device, function: fn }: PciPlace): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  return `${hex(domain, 4)}:${hex(bus, 2)}:${hex(device, 2)}.${fn}`;
}

/**
 * Compares addresses, for sorting: by domain, bus, device and function. What follows a domain is
 * always as long, and a domain of more digits is a larger one.
 *
 * @param a address as sysfs writes it
 * @param b another
 * @returns negative, zero or positive
 *
 * @example
 * ```ts
 * import { comparePciAddresses } from "./address.ts";
 *
 * const sorted = ["10000:01:00.0", "a000:01:00.0"].sort(comparePciAddresses);
 * if (sorted[0] !== "a000:01:00.0") throw new Error("a domain is a number");
 * ```
 */
export function comparePciAddresses(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** What the name of a root bus looks like, for a larger regular expression. */
export const ROOT_BUS_PATTERN = `pci${DOMAIN}:[0-9a-f]{2}`;

const ROOT_BUS = new RegExp(`^${ROOT_BUS_PATTERN}$`);

/**
 * Whether a text is the name of a root bus as sysfs writes it.
 *
 * @param text for example the first folder of a path below `/sys/devices`
 * @returns true for `pci0000:00`
 */
export function isRootBus(text: string): boolean {
  return ROOT_BUS.test(text);
}
