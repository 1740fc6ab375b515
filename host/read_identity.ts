/**
 * Reads from sysfs which device a PCI function is, as the kernel knows it now.
 *
 * @module
 */
import { configSubsystem } from "./config_space.ts";
import { FilesError, type Folder } from "./files.ts";

/** What the kernel's folder of a function says that it is. */
export interface FunctionIdentity {
  /** Four hexadecimal digits, as `device`. */
  readonly vendor: string;
  readonly device: string;
  /** `vvvv:dddd`; absent where the header has none. */
  readonly subsystem?: string;
  /** Six hexadecimal digits. */
  readonly class: string;
}

/** An attribute of sysfs is a page at most. */
const ATTRIBUTE_BYTES = 4096;

/** All ids at once, as the kernel writes them for modprobe (`modalias_show`, drivers/pci/pci-sysfs.c). */
const MODALIAS =
  /^pci:v0000([0-9A-F]{4})d0000([0-9A-F]{4})sv[0-9A-F]{8}sd[0-9A-F]{8}bc([0-9A-F]{2})sc([0-9A-F]{2})i([0-9A-F]{2})$/;

/**
 * Reads ids and class. Those of a virtual function stand in its files only: its registers have none.
 *
 * @param folder of the function
 * @param config its configuration space, the header at least
 * @throws {FilesError} if the function, or one of the files that every function has, is not there
 * @throws {SyntaxError} if one of these files holds what the kernel never writes
 */
export function readIdentity(folder: Folder, config: Uint8Array): FunctionIdentity {
  const subsystem = configSubsystem(config);
  return {
    ...fromModalias(folder) ?? {
      vendor: digits(folder, "vendor", 4),
      device: digits(folder, "device", 4),
      class: digits(folder, "class", 6),
    },
    ...(subsystem === undefined ? {} : { subsystem }),
  };
}

/** One file in place of three. Whatever is wrong with it, the three say what they say. */
function fromModalias(folder: Folder): Omit<FunctionIdentity, "subsystem"> | undefined {
  const found = MODALIAS.exec(modalias(folder));
  if (found === null) return undefined;
  const [, vendor = "", device = "", base = "", sub = "", programming = ""] = found;
  const all = `${vendor}${device}${base}${sub}${programming}`.toLowerCase();
  return { vendor: all.slice(0, 4), device: all.slice(4, 8), class: all.slice(8) };
}

function modalias(folder: Folder): string {
  try {
    return folder.textIfThere("modalias", ATTRIBUTE_BYTES) ?? "";
  } catch (error) {
    if (error instanceof FilesError) return "";
    throw error;
  }
}

function digits(folder: Folder, name: string, count: number): string {
  const text = folder.readText(name, ATTRIBUTE_BYTES);
  const found = /^0x([0-9a-f]+)$/.exec(text)?.[1];
  if (found?.length === count) return found;
  throw new SyntaxError(
    `Cannot read ${folder.path}/${name}: no ${count} hexadecimal digits (received ${
      JSON.stringify(text)
    })`,
  );
}
