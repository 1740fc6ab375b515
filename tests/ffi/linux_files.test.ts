import "../../ffi/preload.ts";
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { FilesError, type Folder, FolderByPath, type UnreadableReason } from "../../host/files.ts";
import { LinuxFiles } from "../../ffi/linux_files.ts";

async function withTree(
  step: (files: LinuxFiles, root: string) => void | Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "bargate" });
  try {
    await step(new LinuxFiles(root), root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

/** The shape of sysfs: devices in a tree, and links to them elsewhere. */
async function sysfs(root: string): Promise<void> {
  const device = `${root}/sys/devices/pci0000:00/0000:00:01.0`;
  await Deno.mkdir(device, { recursive: true });
  await Deno.mkdir(`${root}/sys/bus/pci/devices`, { recursive: true });
  await Deno.writeTextFile(`${device}/vendor`, "0x144d\n");
  await Deno.writeFile(`${device}/config`, new Uint8Array([0x4d, 0x14, 0, 10]));
  const links = {
    "bus/pci/devices/0000:00:01.0": "../../../devices/pci0000:00/0000:00:01.0",
    "absolute": "/sys/devices/pci0000:00",
    "dangling": "nowhere",
    "loop": "loop",
    "outside": "../../../../../../etc",
  };
  for (const [name, target] of Object.entries(links)) {
    await Deno.symlink(target, `${root}/sys/${name}`);
  }
}

function isReason(reason: UnreadableReason, path: string) {
  return (error: unknown) =>
    error instanceof FilesError && error.reason === reason && error.path === path &&
    error.message.startsWith("Cannot ");
}

const DEVICE = "/sys/bus/pci/devices/0000:00:01.0";

Deno.test("a tree below a root is read like the real one", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    equal(files.readText(`${DEVICE}/vendor`), "0x144d");
    deepEqual(files.read(`${DEVICE}/config`), new Uint8Array([0x4d, 0x14, 0, 10]));
    deepEqual(files.list(DEVICE), ["config", "vendor"]);
    equal(files.readLink(DEVICE), "../../../devices/pci0000:00/0000:00:01.0");
    equal(files.realPath(`${DEVICE}/../`), "/sys/devices/pci0000:00");
    equal(files.realPath(DEVICE), "/sys/devices/pci0000:00/0000:00:01.0");
    equal(files.realPath("/"), "/");
    ok(files.exists(DEVICE) && files.exists(`${DEVICE}/vendor`));
  });
});

Deno.test("links stay within the root, absolute ones and .. too", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    deepEqual(files.list("/sys/absolute"), ["0000:00:01.0"]);
    equal(files.realPath("/sys/absolute/0000:00:01.0"), "/sys/devices/pci0000:00/0000:00:01.0");
    throws(() => files.list("/sys/outside"), isReason("absent", "/sys/outside"));
    throws(() => files.read("/../../../../etc/passwd"), FilesError);
    equal(files.exists("/sys/outside/passwd"), false);
    deepEqual(files.list("/.."), ["sys"]);
  });
});

Deno.test("what cannot be read says why, by kind", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    const absent = [`${DEVICE}/absent`, `${DEVICE}/vendor/x`, "/sys/dangling", "/sys/a\0b"];
    for (const path of absent) {
      throws(() => files.read(path), isReason("absent", path));
      equal(files.exists(path), false);
    }
    throws(() => files.realPath("/sys/dangling"), isReason("absent", "/sys/dangling"));
    throws(() => files.list(`${DEVICE}/vendor`), isReason("absent", `${DEVICE}/vendor`));
    throws(() => files.read("/sys/loop"), isReason("other", "/sys/loop"));
    throws(() => files.read("/sys"), isReason("other", "/sys"));
    throws(() => files.readLink(`${DEVICE}/vendor`), isReason("other", `${DEVICE}/vendor`));
    equal(files.exists("/sys/loop"), false);
  });
});

Deno.test("in an open folder everything is as it is by its path", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    const folder = `${root}/sys/devices/pci0000:00/0000:00:01.0`;
    await Deno.mkdir(`${folder}/vfio-dev/vfio3`, { recursive: true });
    await Deno.writeFile(`${folder}/big`, new Uint8Array(200_000).fill(0x61));
    await Deno.writeFile(`${folder}/odd`, new Uint8Array([0x61, 0xff, 0x0a, 0x0a]));
    const links = { driver: "/sys/absolute", out: "../../../../../etc/passwd", loop: "loop" };
    for (const [name, target] of Object.entries({ ...links, alias: "vendor", gone: "nowhere" })) {
      await Deno.symlink(target, `${folder}/${name}`);
    }
    const names = [...files.list(DEVICE), "absent", "vendor/x", "vfio-dev/vfio3", "a\0b", ""];
    // The kernel follows links only where the root is the real one.
    for (const [its, above] of [[files, ""], [new LinuxFiles(), root]] as const) {
      const devices = `${above}${DEVICE.slice(0, DEVICE.lastIndexOf("/"))}`;
      its.inFolder(`${above}${DEVICE}`, (open) => sameFolder(open, its, names));
      its.inFolder(devices, (all) => {
        sameFolder(all, its, ["0000:00:01.0", "absent"]);
        all.inFolder("0000:00:01.0", (open) => sameFolder(open, its, names));
        all.inFolder("absent", (open) => sameFolder(open, its, ["vendor"]));
      });
    }
  });
});

function sameFolder(open: Folder, files: LinuxFiles, names: readonly string[]): void {
  const byPath = new FolderByPath(files, open.path);
  for (const name of names) {
    for (const limit of [undefined, 3, 100_000]) {
      same(() => open.read(name, limit), () => byPath.read(name, limit));
      same(() => open.readText(name, limit), () => byPath.readText(name, limit));
      same(() => open.textIfThere(name, limit), () => byPath.textIfThere(name, limit));
    }
    same(() => open.linkIfThere(name), () => byPath.linkIfThere(name));
    same(() => open.namesIfThere(name), () => byPath.namesIfThere(name));
  }
}

/** Both give the same, or throw the same. */
function same(first: () => unknown, second: () => unknown): void {
  deepEqual(outcome(first), outcome(second));
}

function outcome(step: () => unknown): unknown {
  try {
    return step();
  } catch (error) {
    ok(error instanceof FilesError);
    return [error.reason, error.path, error.message];
  }
}

Deno.test("a folder that is not there, or is none, shows it when it is read in", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    for (
      const path of ["/sys/nowhere", "/sys/dangling", "/sys/loop", `${DEVICE}/vendor`, "/a\0b"]
    ) {
      files.inFolder(path, (folder) => {
        throws(() => folder.read("vendor"), FilesError);
        const reason = path === "/sys/loop" ? "other" : "absent";
        if (reason === "absent") equal(folder.textIfThere("vendor"), undefined);
        else throws(() => folder.textIfThere("vendor"), isReason(reason, `${path}/vendor`));
      });
    }
  });
});

Deno.test("what is read in an open folder is of that folder, whatever takes its place", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    const real = `${root}/sys/devices/pci0000:00/0000:00:01.0`;
    files.inFolder(DEVICE, (folder) => {
      Deno.renameSync(real, `${real}.old`);
      Deno.mkdirSync(real);
      Deno.writeTextFileSync(`${real}/vendor`, "0x15b3\n");
      equal(folder.readText("vendor"), "0x144d");
    });
    equal(files.inFolder(DEVICE, (folder) => folder.readText("vendor")), "0x15b3");
  });
});

Deno.test("bytes read in an open folder stay what they are", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    const config = new Uint8Array([0x4d, 0x14, 0, 10]);
    files.inFolder(DEVICE, (folder) => {
      const all = Array.from({ length: 70_000 }, () => folder.read("config")).filter((bytes) =>
        bytes.length !== 4 || bytes[0] !== 0x4d
      );
      deepEqual(all, []);
      const first = folder.read("config");
      folder.read("config").fill(0xff);
      deepEqual(first, config);
    });
  });
});

/** What the process has open below a folder; other tests open and close at the same time. */
function openBelow(root: string): readonly string[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return "";
      throw error;
    }
  }).filter((path) => path.startsWith(root));
}

Deno.test("a folder is closed in the end, also if reading throws", async () => {
  await withTree(async (files, root) => {
    await sysfs(root);
    throws(() => files.inFolder(DEVICE, (folder) => folder.read("absent")), FilesError);
    const late = files.inFolder(DEVICE, (folder) => {
      ok(openBelow(root).length > 0, "it is open while it is read in");
      return folder;
    });
    deepEqual(openBelow(root), []);
    equal(late.readText("vendor"), "0x144d");
  });
});

Deno.test("a read takes at most what was asked for", async () => {
  await withTree(async (files, root) => {
    await Deno.writeFile(`${root}/big`, new Uint8Array(200_000).fill(7));
    equal(files.read("/big", 10).length, 10);
    equal(files.read("/big").length, 65_536);
    equal(files.read("/big", 1_000_000).length, 200_000);
    equal(files.read("/big", 0).length, 0);
  });
});

Deno.test("text loses one newline at its end, and bytes that are no UTF-8", async () => {
  await withTree(async (files, root) => {
    await Deno.writeFile(`${root}/t`, new Uint8Array([0x61, 0xff, 0x0a, 0x0a]));
    equal(files.readText("/t"), "a\ufffd\n");
  });
});

Deno.test("strange names break nothing", async () => {
  await withTree(async (files, root) => {
    await Deno.writeTextFile(`${root}/two\nlines`, "x");
    await Deno.writeTextFile(`${root}/ü`, "y");
    const script = `cd "$1" && : > "$(printf 'bad\\377name')"`;
    const { code } = await new Deno.Command("sh", { args: ["-c", script, "sh", root] }).output();
    equal(code, 0);
    deepEqual(files.list("/"), ["bad\ufffdname", "two\nlines", "ü"]);
    equal(files.readText("/two\nlines"), "x");
    equal(files.readText("/ü"), "y");
    throws(() => files.read("/bad\ufffdname"), isReason("absent", "/bad\ufffdname"));
  });
});

Deno.test("a folder larger than one getdents64 is listed whole", async () => {
  await withTree(async (files, root) => {
    const names = Array.from({ length: 1500 }, (_, index) => `${index}`.padStart(40, "0"));
    for (const name of names) Deno.writeTextFileSync(`${root}/${name}`, "");
    deepEqual(files.list("/"), names);
    await Promise.resolve();
  });
});

Deno.test("a FIFO that nobody writes to holds nobody up", async () => {
  await withTree(async (files, root) => {
    equal((await new Deno.Command("mkfifo", { args: [`${root}/fifo`] }).output()).code, 0);
    equal(files.read("/fifo").length, 0);
  });
});

Deno.test("the real /proc and /sys are read", () => {
  const files = new LinuxFiles();
  equal(files.readText("/proc/sys/kernel/ostype"), "Linux");
  equal(files.realPath("/proc/self"), `/proc/${Deno.pid}`);
  equal(files.readLink("/proc/self"), `${Deno.pid}`);
  ok(files.list("/sys").includes("devices"));
  ok(files.list("/proc").includes(`${Deno.pid}`));
  ok(files.exists("/sys/devices") && !files.exists("/sys/absent"));
  throws(() => files.read("/proc/0"), isReason("absent", "/proc/0"));
});

Deno.test("a trailing slash of the root does not matter", () => {
  equal(new LinuxFiles("/proc/").readText("/sys/kernel/ostype"), "Linux");
  equal(new LinuxFiles("/").readText("/proc/sys/kernel/ostype"), "Linux");
});

Deno.test({
  name: "what this account may not read is forbidden",
  ignore: Deno.uid() === 0,
  fn: () => {
    throws(() => new LinuxFiles().read("/etc/shadow"), isReason("forbidden", "/etc/shadow"));
  },
});
