/** sysfs that lies, breaks off, vanishes or refuses: real files, read through the real `Files`. */
import "../../ffi/preload.ts";
import assert from "node:assert/strict";
import fc from "fast-check";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { namesAmong } from "../../host/device_names.ts";
import {
  type Files,
  FilesError,
  type FileStatus,
  type Folder,
  FolderByPath,
  inFolder,
} from "../../host/files.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { printSnapshot } from "../../host/print_snapshot.ts";
import { readKernelConfig } from "../../host/kernel_config.ts";
import { readSnapshot, type TakenSnapshot } from "../../host/read_snapshot.ts";
import { type Content, functionTree, type Tree, writeTree } from "../support/sysfs_tree.ts";

const BUS = "pci0000:00";
const [BRIDGE, SSD, VIRTUAL, NIC] = [
  "0000:00:01.0",
  "0000:01:00.0",
  "0000:01:00.1",
  "0000:02:00.0",
] as const;
const FOLDERS = {
  [BRIDGE]: `/sys/devices/${BUS}/${BRIDGE}`,
  [SSD]: `/sys/devices/${BUS}/${BRIDGE}/${SSD}`,
  [VIRTUAL]: `/sys/devices/${BUS}/${BRIDGE}/${VIRTUAL}`,
  [NIC]: `/sys/devices/${BUS}/${NIC}`,
} as const;
const BAR = (start: number) =>
  `0x${start.toString(16).padStart(16, "0")} 0x${
    (start + 0xfff).toString(16).padStart(16, "0")
  } 0x0000000000040200`;

/** A bridge with an SSD and its virtual function behind it, and a network controller beside. */
const SOUND: Tree = {
  ...functionTree({ address: BRIDGE, below: BUS, id: [0x1b36, 0xc], class: "060400", group: 1 }),
  ...functionTree({
    address: SSD,
    below: `${BUS}/${BRIDGE}`,
    id: [0x1b36, 0x10],
    class: "010802",
    driver: "nvme",
    group: 2,
    resource: [BAR(0x1000)],
  }),
  ...functionTree({
    address: VIRTUAL,
    below: `${BUS}/${BRIDGE}`,
    id: [0x1b36, 0x10],
    class: "010802",
    driver: "vfio-pci",
    group: 3,
  }),
  ...functionTree({
    address: NIC,
    below: BUS,
    id: [0x15b3, 0x101d],
    class: "020000",
    driver: "mlx5_core",
    group: 4,
    resource: [BAR(0x2000)],
  }),
  [`${FOLDERS[SSD]}/sriov_totalvfs`]: "4\n",
  [`${FOLDERS[SSD]}/sriov_numvfs`]: "1\n",
  [`${FOLDERS[SSD]}/virtfn0`]: { link: `../${VIRTUAL}` },
  [`${FOLDERS[SSD]}/nvme/nvme0/device`]: { link: `../../../${SSD}` },
  [`${FOLDERS[VIRTUAL]}/physfn`]: { link: `../${SSD}` },
  [`${FOLDERS[VIRTUAL]}/vfio-dev/vfio0/dev`]: "511:0\n",
  [`${FOLDERS[NIC]}/infiniband/mlx5_0/device`]: { link: `../../../${NIC}` },
  "/sys/class/nvme/nvme0": { link: `../../devices/${BUS}/${BRIDGE}/${SSD}/nvme/nvme0` },
  "/sys/class/infiniband/mlx5_0": { link: `../../devices/${BUS}/${NIC}/infiniband/mlx5_0` },
  "/sys/class/drm/version": "drm\n",
  "/sys/class/iommu/dmar0": "folder",
  "/sys/bus/pci/slots/5/address": "0000:01:00\n",
  "/dev/vfio/devices/vfio0": "",
  "/dev/vfio/3": "",
  "/proc/config.gz": "CONFIG_VFIO=y\n",
};

const KERNEL = { release: "7.3.4", pageSize: 4096 };

async function withTree(tree: Tree, use: (root: string) => void | Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    writeTree(root, tree);
    await use(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function addresses({ snapshot }: TakenSnapshot): readonly string[] {
  return snapshot.functions.map(({ address }) => address);
}

/** Nothing that is told of a tree makes the file unusable. */
function assertSound(taken: TakenSnapshot): void {
  const text = [...printSnapshot(namesAmong(taken.snapshot))].join("");
  const { snapshot, problems } = parseSnapshot(new TextEncoder().encode(text));
  const harmful = problems.filter(({ kind }) => kind !== "config-of-another");
  // Where BARs are is for a plan to judge.
  const others = harmful.filter(({ kind }) => kind !== "bar-taken" && kind !== "bar-overlap");
  assert.deepEqual(others, []);
  assert.equal(snapshot === undefined, harmful.length > 0);
}

Deno.test("the sound tree is read whole", async () => {
  await withTree(SOUND, (root) => {
    const taken = readSnapshot(new LinuxFiles(root), KERNEL);
    assert.deepEqual([taken.skipped, taken.findings], [[], []]);
    assert.deepEqual(addresses(taken), [BRIDGE, SSD, VIRTUAL, NIC]);
    const [, ssd, virtual] = taken.snapshot.functions;
    assert.deepEqual([ssd?.sriov, ssd?.slot, ssd?.parent], [{ total: 4, enabled: 1 }, "5", BRIDGE]);
    assert.deepEqual([virtual?.physfn, virtual?.cdev], [SSD, "/dev/vfio/devices/vfio0"]);
    assert.equal(virtual?.cdevAccess?.mode, virtual?.groupAccess?.mode);
    assert.deepEqual(taken.snapshot.nvme, [{ name: "nvme0", function: SSD }]);
    assert.deepEqual(taken.snapshot.rdma, [{ name: "mlx5_0", function: NIC }]);
    assertSound(taken);
  });
});

/** What is done to one path, and what must be said of it. */
interface Wrong {
  readonly what: string;
  readonly change: Tree;
  /** Functions that cannot be in the inventory. */
  readonly without?: readonly string[];
  /** Where the fault is told to be. */
  readonly where: string;
  readonly why: RegExp;
}

const at = (address: keyof typeof FOLDERS, name: string) => `${FOLDERS[address]}/${name}`;
const listed = (address: string, name = "") =>
  `/sys/bus/pci/devices/${address}${name === "" ? "" : `/${name}`}`;

const WRONG: readonly Wrong[] = [
  {
    what: "configuration space that breaks off in the header",
    change: { [at(NIC, "config")]: new Uint8Array(63) },
    without: [NIC],
    where: NIC,
    why: /header alone has 64 bytes \(received 63\)/,
  },
  {
    what: "a bridge that cannot be read takes what is behind it",
    change: { [at(BRIDGE, "config")]: "" },
    without: [BRIDGE, SSD, VIRTUAL],
    where: SSD,
    why: /0000:00:01\.0, which it is connected to/,
  },
  {
    what: "an id that is none",
    change: { [at(NIC, "modalias")]: "pci:v000015B3\n", [at(NIC, "vendor")]: "0x15b3\n0x1af4\n" },
    without: [NIC],
    where: NIC,
    why: /no 4 hexadecimal digits \(received "0x15b3\\n0x1af4"\)/,
  },
  {
    what: "a resource line that is none",
    change: { [at(NIC, "resource")]: "0x0 0x1\n" },
    without: [NIC],
    where: NIC,
    why: /BAR 0/,
  },
  {
    what: "a device that is a link to itself",
    change: { [listed(NIC)]: { link: NIC } },
    without: [NIC],
    where: NIC,
    why: /ELOOP|links/,
  },
  {
    what: "a device that lies nowhere below a root bus",
    change: { [listed(NIC)]: { link: `../../../devices/elsewhere/${NIC}` } },
    without: [NIC],
    where: NIC,
    why: /no such file/,
  },
  {
    what: "a device that lies below itself",
    change: {
      [listed(NIC)]: { link: `../../../devices/${BUS}/${NIC}/${NIC}` },
      [at(NIC, NIC)]: { link: `../${NIC}` },
    },
    without: [NIC],
    where: NIC,
    why: /round in a circle/,
  },
  {
    what: "a name with a line break",
    change: { "/sys/bus/pci/devices/0000:03:00.0\nevil": { link: "../../../devices" } },
    where: "0000:03:00.0\nevil",
    why: /no PCI address/,
  },
  {
    what: "a physical function that is not there",
    change: { [at(VIRTUAL, "physfn")]: { link: "../0000:09:00.0" } },
    without: [VIRTUAL],
    where: VIRTUAL,
    why: /0000:09:00\.0, is not in the inventory/,
  },
  {
    what: "a physical function that is below another bridge",
    change: { [at(NIC, "physfn")]: { link: `../${BRIDGE}/${SSD}` } },
    without: [NIC],
    where: NIC,
    why: /0000:01:00\.0, is below 0000:00:01\.0, and not beside it/,
  },
  {
    what: "a driver with a terminal's control characters in its name",
    change: { [at(NIC, "driver")]: { link: "/sys/bus/pci/drivers/\u001b[2J" } },
    where: listed(NIC, "driver"),
    why: /printable ASCII/,
  },
  {
    what: "a driver that is a folder",
    change: { [at(NIC, "driver")]: "folder" },
    where: listed(NIC, "driver"),
    why: /EINVAL/,
  },
  {
    what: "a power state that is a folder",
    change: { [at(NIC, "power_state")]: "folder" },
    where: listed(NIC, "power_state"),
    why: /EISDIR/,
  },
  {
    what: "reset methods without end",
    change: { [at(NIC, "reset_method")]: "flr ".repeat(5000) },
    where: listed(NIC, "reset_method"),
    why: /1 to 256 printable/,
  },
  {
    what: "a NUMA node that is no number",
    change: { [at(NIC, "numa_node")]: "1e9\n" },
    where: listed(NIC, "numa_node"),
    why: /no number \(received "1e9"\)/,
  },
  {
    what: "a group that is no number",
    change: { [at(NIC, "iommu_group")]: { link: "/sys/kernel/iommu_groups/007" } },
    where: listed(NIC, "iommu_group"),
    why: /received "007"/,
  },
  {
    what: "a slot with a line break in its name",
    change: { "/sys/bus/pci/slots/a\nb/address": "0000:02:00\n" },
    where: "/sys/bus/pci/slots/a\nb",
    why: /no slot has such a name/,
  },
  {
    what: "a class entry whose device is a loop",
    change: { [at(NIC, "infiniband/mlx5_0/device")]: { link: "device" } },
    where: "/sys/class/infiniband/mlx5_0/device",
    why: /ELOOP/,
  },
  {
    what: "a class entry with a line break in its name",
    change: { "/sys/class/infiniband/a\nb": "folder" },
    where: "/sys/class/infiniband/a\nb",
    why: /no device has such a name/,
  },
  {
    what: "an IOMMU with a bell in its name",
    change: { "/sys/class/iommu/\u0007": "folder" },
    where: "/sys/class/iommu/\u0007",
    why: /no IOMMU has such a name/,
  },
];

Deno.test("each thing that is wrong is a finding, with its place, and takes no more than it must", async (t) => {
  for (const { what, change, without = [], where, why } of WRONG) {
    await t.step(what, async () => {
      await withTree({ ...SOUND, ...change }, (root) => {
        const taken = readSnapshot(new LinuxFiles(root), KERNEL);
        const told = [
          ...taken.skipped.map(({ address, why }) => ({ path: address, why })),
          ...taken.findings,
        ];
        const found = told.filter(({ path }) => path === where);
        assert.match(found[0]?.why ?? JSON.stringify(told), why);
        const left = [BRIDGE, SSD, VIRTUAL, NIC].filter((address) => !without.includes(address));
        assert.deepEqual(addresses(taken), left);
        assertSound(taken);
      });
    });
  }
});

Deno.test("ids that do not stand in modalias as the kernel writes them are read one by one", async (t) => {
  const wrong: readonly Content[] = [
    "folder",
    "",
    "pci:v000015B3d0000101Dsv00001AF4sd00001100bc02sc00i0\n",
    "pci:v000015b3d0000101dsv00001af4sd00001100bc02sc00i00\n",
    "pci:v00011AF4d0000101Dsv00001AF4sd00001100bc02sc00i00\n",
    "pci:v00001AF4d0000101Dsv00001AF4sd00001100bc02sc00i00\nx\n",
    { link: "modalias" },
  ];
  for (const content of wrong) {
    await t.step(JSON.stringify(content), async () => {
      await withTree({ ...SOUND, [at(NIC, "modalias")]: content }, (root) => {
        const taken = readSnapshot(new LinuxFiles(root), KERNEL);
        assert.deepEqual([taken.skipped, taken.findings], [[], []]);
        const nic = taken.snapshot.functions.at(-1);
        assert.deepEqual([nic?.vendor, nic?.device, nic?.class], ["15b3", "101d", "020000"]);
      });
    });
  }
  await withTree({ ...SOUND, [at(NIC, "vendor")]: "", [at(NIC, "class")]: "" }, (root) => {
    const nic = readSnapshot(new LinuxFiles(root), KERNEL).snapshot.functions.at(-1);
    assert.deepEqual([nic?.vendor, nic?.device, nic?.class], ["15b3", "101d", "020000"]);
  });
});

/** Passes everything on, after `before` was asked. */
class Watched implements Files {
  constructor(private readonly files: Files, private readonly before: (path: string) => void) {}
  read(path: string, limit?: number): Uint8Array {
    this.before(path);
    return this.files.read(path, limit);
  }
  readText(path: string, limit?: number): string {
    this.before(path);
    return this.files.readText(path, limit);
  }
  list(path: string): string[] {
    this.before(path);
    return this.files.list(path);
  }
  readLink(path: string): string {
    this.before(path);
    return this.files.readLink(path);
  }
  realPath(path: string): string {
    this.before(path);
    return this.files.realPath(path);
  }
  exists(path: string): boolean {
    this.before(path);
    return this.files.exists(path);
  }
  status(path: string): FileStatus {
    this.before(path);
    return this.files.status(path);
  }
  inFolder<T>(path: string, use: (folder: Folder) => T): T {
    try {
      this.before(path);
    } catch {
      return use(new FolderByPath(this, path));
    }
    const { files, before } = this;
    return inFolder(files, path, (folder) => use(new WatchedFolder(files, folder, before)));
  }
}

/** The same for an open folder. */
class WatchedFolder implements Folder {
  readonly path: string;
  constructor(
    private readonly files: Files,
    private readonly folder: Folder,
    private readonly before: (path: string) => void,
  ) {
    this.path = folder.path;
  }
  read(name: string, limit?: number): Uint8Array {
    return this.#asked(name).read(name, limit);
  }
  readText(name: string, limit?: number): string {
    return this.#asked(name).readText(name, limit);
  }
  textIfThere(name: string, limit?: number): string | undefined {
    return this.#asked(name).textIfThere(name, limit);
  }
  linkIfThere(name: string): string | undefined {
    return this.#asked(name).linkIfThere(name);
  }
  namesIfThere(name: string): readonly string[] | undefined {
    return this.#asked(name).namesIfThere(name);
  }
  inFolder<T>(name: string, use: (folder: Folder) => T): T {
    const path = `${this.path}/${name}`;
    try {
      this.before(path);
    } catch {
      return use(new FolderByPath(new Watched(this.files, this.before), path));
    }
    const { files, before } = this;
    return this.folder.inFolder(name, (folder) => use(new WatchedFolder(files, folder, before)));
  }
  #asked(name: string): Folder {
    this.before(`${this.path}/${name}`);
    return this.folder;
  }
}

Deno.test("a function that vanishes while it is read is left out and told, never half of it kept", async () => {
  const asked: string[] = [];
  await withTree(SOUND, (root) => {
    readSnapshot(new Watched(new LinuxFiles(root), (path) => asked.push(path)), KERNEL);
  });
  const list = asked.indexOf("/sys/bus/pci/devices");
  const moments = asked.flatMap((path, moment) => path.includes(NIC) ? [moment] : []);
  assert.ok(moments.length > 10 && list >= 0);
  const whole = new Map<string, number>();
  for (const moment of [list, ...moments]) {
    await withTree(SOUND, (root) => {
      let seen = 0;
      const files = new Watched(new LinuxFiles(root), () => {
        if (seen++ !== moment) return;
        Deno.removeSync(`${root}${FOLDERS[NIC]}`, { recursive: true });
        Deno.removeSync(`${root}${listed(NIC)}`);
      });
      const taken = readSnapshot(files, KERNEL);
      assertSound(taken);
      const nic = taken.snapshot.functions.find(({ address }) => address === NIC);
      if (nic !== undefined) {
        whole.set(JSON.stringify({ ...nic, bars: nic.bars.length }), moment);
      } else if (moment !== list) {
        assert.deepEqual(taken.skipped.map(({ address }) => address), [NIC], asked[moment]);
      }
      assert.deepEqual(addresses(taken).filter((address) => address !== NIC), [
        BRIDGE,
        SSD,
        VIRTUAL,
      ]);
    });
  }
  assert.deepEqual([...whole], [], "a half of it was taken for the whole");
});

Deno.test("what is refused anywhere is noted with the right that it needs", async () => {
  await withTree(SOUND, (root) => {
    const files = new LinuxFiles(root);
    const asked = new Set<string>();
    readSnapshot(new Watched(files, (path) => asked.add(path)), KERNEL);
    for (const refused of asked) {
      if (refused === "/sys/bus/pci/devices") continue;
      const refusing = new Watched(files, (path) => {
        if (path === refused || path.startsWith(`${refused}/`)) {
          throw new FilesError(path, "forbidden", `Cannot read ${path}: this account may not`);
        }
      });
      const taken = readSnapshot(refusing, KERNEL);
      assertSound(taken);
      const { functions, unreadable = [] } = taken.snapshot;
      const noted = [...unreadable, ...functions.flatMap((entry) => entry.unreadable)];
      const told = noted.length + taken.skipped.length;
      // What modalias would say, three other files do.
      const silent = /vfio0\/dev$|\/modalias$/.test(refused);
      assert.ok(told > 0 || silent, refused);
    }
  });
});

const NASTY: fc.Arbitrary<Content> = fc.oneof(
  fc.constant<Content>("folder"),
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.constantFrom("", "\n", "-1\n", "0x\n", "9".repeat(5000), "\u202e", "0x0 0x1 0x2\n"),
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(
    "/",
    ".",
    "..",
    "self",
    "/proc/self/fd",
    "../../../..",
    FOLDERS[SSD],
    listed(VIRTUAL),
    "a\nb",
  ).map((link) => ({ link })),
);

Deno.test("whatever the files are, an inventory is taken and is sound", async () => {
  const paths = Object.keys(SOUND);
  const change = fc.tuple(fc.constantFrom(...paths), fc.option(NASTY, { nil: undefined }));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 6 }), async (changes) => {
      const tree: Record<string, Content> = { ...SOUND };
      for (const [path, content] of changes) {
        if (content === undefined) delete tree[path];
        else tree[path] = content;
      }
      await withTree(tree, async (root) => {
        const files = new LinuxFiles(root);
        await readKernelConfig(files, "7.3.4");
        assertSound(readSnapshot(files, KERNEL));
      });
    }),
    { numRuns: 40 },
  );
});

Deno.test("a pipe in place of a file holds nobody up", async () => {
  const { [at(NIC, "config")]: _config, ...rest } = SOUND;
  await withTree(rest, async (root) => {
    const made = await new Deno.Command("mkfifo", { args: [`${root}${at(NIC, "config")}`] })
      .output();
    assert.ok(made.success);
    const taken = readSnapshot(new LinuxFiles(root), KERNEL);
    assert.deepEqual(taken.skipped.map(({ address }) => address), [NIC]);
  });
});
