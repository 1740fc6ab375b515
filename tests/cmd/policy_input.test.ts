import assert from "node:assert/strict";
import { readPolicyFiles } from "../../cmd/policy_input.ts";
import { sha256 } from "../../policy/sha256.ts";
import { bargate, withFolder } from "./run_verb.ts";

const GOOD = Deno.readTextFileSync(new URL("../corpus/good/minimal.yaml", import.meta.url));

function noStdin(): Promise<Uint8Array> {
  throw new Error("standard input is not meant");
}

/** Reads, and gives the names of what was read. */
async function namesOf(paths: readonly string[]): Promise<readonly string[]> {
  return (await readPolicyFiles(paths, noStdin)).map(({ file }) => file);
}

/** Every file has one inode number, as where the numbers are too large for a double. */
async function withEqualInodes(use: () => Promise<void>): Promise<void> {
  const { statSync } = Deno;
  Deno.statSync = (path) => ({ ...statSync(path), dev: 1, ino: 2 ** 60, nlink: 2 });
  try {
    await use();
  } finally {
    Deno.statSync = statSync;
  }
}

Deno.test("files are told apart also where their inode numbers cannot be", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/sub`);
    await Deno.writeTextFile(`${folder}/a.yaml`, "a: 1\n");
    await Deno.writeTextFile(`${folder}/b.yaml`, "b: 1\n");
    await Deno.writeTextFile(`${folder}/sub/c.yaml`, "c: 1\n");
    await withEqualInodes(async () => {
      const all = ["a.yaml", "b.yaml", "sub/c.yaml"].map((name) => `${folder}/${name}`);
      assert.deepEqual(await namesOf([folder]), all);
      assert.deepEqual(await namesOf(all), all);
    });
  });
});

Deno.test("a file is read once, by whatever name, link or folder it is given", async () => {
  await withFolder(async (folder) => {
    const file = `${folder}/a.yaml`;
    await Deno.writeTextFile(file, GOOD);
    await Deno.link(file, `${folder}/hard.yaml`);
    await Deno.symlink("a.yaml", `${folder}/soft.yaml`);
    await Deno.symlink(".", `${folder}/round`);
    assert.deepEqual(await namesOf([file, folder, `${folder}/./a.yaml`]), [file]);
  });
});

Deno.test("a pipe, which has no path of its own, is read", async () => {
  await withFolder(async (folder) => {
    const pipe = `${folder}/pipe`;
    assert.ok((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
    const reading = namesOf([pipe]);
    await Deno.writeTextFile(pipe, GOOD);
    assert.deepEqual(await reading, [pipe]);
  });
});

Deno.test("standard input by its path is read", async () => {
  const { status, stdout } = await bargate(["validate", "/dev/stdin"], {
    stdin: GOOD,
    rights: ["--allow-all"],
  });
  assert.match(stdout, /^valid /);
  assert.equal(status, 0);
});

Deno.test("the right to read what is named is enough", async () => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.yaml`, GOOD);
    for (const [named, cwd] of [[folder, "/"], ["a.yaml", folder]] as const) {
      const { status, stderr } = await bargate(["validate", named], {
        cwd,
        rights: [`--allow-read=${named}`],
      });
      assert.equal(stderr, "");
      assert.equal(status, 0);
    }
  });
});

Deno.test("in folders the ending of a policy may be of any case, and a folder may be a link", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/site`);
    await Deno.mkdir(`${folder}/shared`);
    await Deno.symlink("../shared", `${folder}/site/shared`);
    for (const name of ["site/deny.YAML", "site/notes.txt", "shared/x.Yml"]) {
      await Deno.writeTextFile(`${folder}/${name}`, name);
    }
    const all = ["site/deny.YAML", "site/shared/x.Yml"].map((name) => `${folder}/${name}`);
    assert.deepEqual(await namesOf([`${folder}/site`, `${folder}/shared`]), all);
  });
});

Deno.test("what nobody has named is read only where a link does not lead away, and if it is a file", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/site/sub`, { recursive: true });
    await Deno.mkdir(`${folder}/secrets/more`, { recursive: true });
    await Deno.writeTextFile(`${folder}/secrets/key.yaml`, "TOP: SECRET\n");
    await Deno.writeTextFile(`${folder}/secrets/more/a.yaml`, "TOP: SECRET\n");
    await Deno.writeTextFile(`${folder}/site/a.yaml`, GOOD);
    const pipe = await new Deno.Command("mkfifo", { args: [`${folder}/site/sub/z.yaml`] }).output();
    assert.ok(pipe.success);
    await Deno.symlink("../../secrets/key.yaml", `${folder}/site/sub/k.yaml`);
    await Deno.symlink("../secrets/more", `${folder}/site/l`);
    await Deno.symlink("../a.yaml", `${folder}/site/sub/own.yaml`);
    for (
      const [cwd, given] of [["/", `${folder}/site`], [`${folder}/site`, "**/*.yaml"]] as const
    ) {
      const { status, stdout, stderr } = await bargate(["validate", given], { cwd });
      assert.equal(status, 2, stdout);
      assert.match(
        stderr,
        /sub\/k\.yaml: a link leads to .*\/secrets\/key\.yaml, which is neither/,
      );
      assert.match(
        stderr,
        /\/secrets\/more.*, which is neither below the current folder nor below/,
      );
      assert.match(stderr, /sub\/z\.yaml: it is neither a file nor a folder; take it away/);
      assert.ok(!`${stdout}${stderr}`.includes("SECRET"));
      assert.ok(!stderr.includes("own.yaml"));
    }
    await Deno.remove(`${folder}/site/sub/z.yaml`);
    const inside = await bargate(["validate", "site"], { cwd: folder });
    assert.equal(inside.status, 3, "below the current folder links may lead anywhere");
  });
});

Deno.test("a manifest finds its files however they are given", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/site/sub`, { recursive: true });
    await Deno.writeTextFile(`${folder}/site/sub/b.yaml`, GOOD);
    await Deno.symlink("b.yaml", `${folder}/site/sub/0.yaml`);
    await Deno.link(`${folder}/site/sub/b.yaml`, `${folder}/site/sub/1.yaml`);
    const hash = sha256(new TextEncoder().encode(GOOD));
    for (const name of ["0", "1", "b"]) {
      await Deno.writeTextFile(
        `${folder}/site/set.yaml`,
        `apiVersion: bargate/v1
kind: PolicySet
metadata: { name: site }
files: [{ path: sub/${name}.yaml, sha256: ${hash} }]
`,
      );
      const given = [
        ["site"],
        ["site/../site/set.yaml", "site/sub/b.yaml", `site/sub/${name}.yaml`],
        [`${folder}/site/set.yaml`, "site/sub/b.yaml", `${folder}/site/sub/${name}.yaml`],
      ];
      for (const paths of given) {
        const { stdout } = await bargate(["validate", ...paths], { cwd: folder });
        assert.match(stdout, /^valid /, `${name}: ${paths}`);
      }
    }
  });
});
