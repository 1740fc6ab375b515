/** Trees of real files in the shape of sysfs, for what reads them through the real `Files`. @module */

/** Bytes or text of a file, the text of a link, or an empty folder. */
export type Content = string | Uint8Array | { readonly link: string } | "folder";

/** Contents by path within the root. */
export type Tree = Readonly<Record<string, Content>>;

/** What a function in a tree is. */
export interface TreeFunction {
  readonly address: string;
  /** Folder that it lies in, below `/sys/devices`: root bus and bridges. */
  readonly below: string;
  readonly id: readonly [vendor: number, device: number];
  readonly class: string;
  /** Bytes of configuration space behind the header; default 192. */
  readonly config?: Uint8Array;
  readonly driver?: string;
  readonly group?: number;
  /** Lines of `resource`. */
  readonly resource?: readonly string[];
}

const EMPTY = "0x0000000000000000 0x0000000000000000 0x0000000000000000";

/** @returns the files of one function, as the kernel has them */
export function functionTree(fn: TreeFunction): Tree {
  const folder = `/sys/devices/${fn.below}/${fn.address}`;
  const hex = (value: number) => `0x${value.toString(16).padStart(4, "0")}\n`;
  const lines = [...fn.resource ?? [], ...Array.from({ length: 13 }, () => EMPTY)].slice(0, 13);
  return {
    [`/sys/bus/pci/devices/${fn.address}`]: { link: `../../../devices/${fn.below}/${fn.address}` },
    [`${folder}/vendor`]: hex(fn.id[0]),
    [`${folder}/device`]: hex(fn.id[1]),
    [`${folder}/subsystem_vendor`]: "0x1af4\n",
    [`${folder}/subsystem_device`]: "0x1100\n",
    [`${folder}/revision`]: "0x02\n",
    [`${folder}/class`]: `0x${fn.class}\n`,
    [`${folder}/irq`]: "0\n",
    [`${folder}/modalias`]: modaliasOf(fn),
    [`${folder}/config`]: configOf(fn),
    [`${folder}/resource`]: lines.map((line) => `${line}\n`).join(""),
    [`${folder}/numa_node`]: "-1\n",
    [`${folder}/power_state`]: "D0\n",
    [`${folder}/reset_method`]: "flr bus\n",
    [`${folder}/driver_override`]: "(null)\n",
    ...(fn.driver === undefined ? {} : {
      [`/sys/bus/pci/drivers/${fn.driver}`]: "folder",
      [`${folder}/driver`]: { link: `/sys/bus/pci/drivers/${fn.driver}` },
    }),
    ...(fn.group === undefined ? {} : {
      [`/sys/kernel/iommu_groups/${fn.group}`]: "folder",
      [`${folder}/iommu_group`]: { link: `/sys/kernel/iommu_groups/${fn.group}` },
    }),
  };
}

/** As the kernel writes it for modprobe. */
function modaliasOf({ id: [vendor, device], class: code }: TreeFunction): string {
  const hex = (value: number, digits: number) =>
    value.toString(16).toUpperCase().padStart(digits, "0");
  const [base, sub, programming] = code.toUpperCase().match(/../g) ?? [];
  return `pci:v${hex(vendor, 8)}d${hex(device, 8)}sv00001AF4sd00001100` +
    `bc${base}sc${sub}i${programming}\n`;
}

function configOf({ id, class: classCode, config = new Uint8Array(192) }: TreeFunction) {
  const whole = new Uint8Array(64 + config.length);
  const view = new DataView(whole.buffer);
  view.setUint16(0x00, id[0], true);
  view.setUint16(0x02, id[1], true);
  // Capabilities, if there are any, begin behind the header.
  if (config[0] !== 0) view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, config[0] === 0 ? 0 : 0x40);
  view.setUint32(0x08, (parseInt(classCode, 16) << 8) >>> 0, true);
  view.setUint8(0x0e, classCode.startsWith("0604") ? 1 : 0);
  view.setUint32(0x2c, 0x1100_1af4, true);
  whole.set(config, 64);
  return whole;
}

/** Writes a tree. What lies below a file or a link of the tree is not written. */
export function writeTree(root: string, tree: Tree): void {
  const made = new Set<string>();
  const folder = (path: string) => {
    if (!made.has(path)) Deno.mkdirSync(path, { recursive: true });
    made.add(path);
  };
  const taken = Object.keys(tree).filter((path) => tree[path] !== "folder");
  const files = new Set(taken);
  for (const path of Object.keys(tree).sort()) {
    const content = tree[path];
    if (content === undefined || liesBelow(path, files)) continue;
    const full = `${root}${path}`;
    folder(content === "folder" ? full : full.slice(0, full.lastIndexOf("/")));
    if (content === "folder") continue;
    if (typeof content === "string") Deno.writeTextFileSync(full, content);
    else if (content instanceof Uint8Array) Deno.writeFileSync(full, content);
    else Deno.symlinkSync(content.link, full);
  }
}

function liesBelow(path: string, files: ReadonlySet<string>): boolean {
  for (let cut = path.lastIndexOf("/"); cut > 0; cut = path.lastIndexOf("/", cut - 1)) {
    if (files.has(path.slice(0, cut))) return true;
  }
  return false;
}
