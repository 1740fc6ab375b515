/** A kernel that the person names, and its headers. */
import assert from "node:assert/strict";
import { givenKernel } from "../../lab/kernel/given_kernel.ts";
import { LabError } from "../../lab/lab_error.ts";
import { LabOutput } from "../../lab/output.ts";

interface Place {
  readonly folder: string;
  readonly image: string;
  readonly said: string[];
  give(image: string, headers?: string): ReturnType<typeof givenKernel>;
}

async function withPlace(use: (place: Place) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const image = `${folder}/image`;
  const said: string[] = [];
  const output = new LabOutput({ isTerminal: false, write: (text) => said.push(text) }, false);
  await Deno.writeTextFile(image, `${" ".repeat(0x202)}HdrS and more`);
  await Deno.mkdir(`${folder}/kernels`);
  try {
    const give: Place["give"] = (image, headers) =>
      givenKernel(image, headers, `${folder}/kernels`, output);
    await use({ folder, image, said, give });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function addHeaders(folder: string): Promise<string> {
  await Deno.mkdir(`${folder}/linux`, { recursive: true });
  for (const name of ["vfio.h", "iommufd.h"]) {
    await Deno.writeTextFile(`${folder}/linux/${name}`, "");
  }
  return folder;
}

function refusal(named: boolean, message: RegExp) {
  return (error: unknown) =>
    error instanceof LabError && error.named === named && error.fix !== undefined &&
    message.test(error.message);
}

Deno.test("a kernel that cannot be used is told with why, and that it was named", () =>
  withPlace(async ({ folder, give }) => {
    const refused = (path: string, why: RegExp) =>
      assert.rejects(give(path), refusal(true, why), path);
    await refused(
      `${folder}/nothing`,
      /^Cannot use the kernel .*\/nothing: no such file or folder/,
    );
    await refused(folder, /: it is no file$/);
    await refused("/etc/passwd/x", /: a part of the path is a file/);
    await refused("/etc/passwd", /: it is no bzImage$/);
    await Deno.writeTextFile(`${folder}/empty`, "");
    await refused(`${folder}/empty`, /: it is no bzImage$/);
  }));

Deno.test("headers that cannot be used are told with why, and that they were named", () =>
  withPlace(async ({ folder, image, give }) => {
    const refused = (path: string) =>
      assert.rejects(
        give(image, path),
        refusal(true, /^Cannot use the headers .*: it has no linux/),
      );
    await refused(folder);
    await refused(`${folder}/nothing`);
    await refused("/etc/passwd");
  }));

Deno.test("headers that are given are the kernel's own, and nothing is said", () =>
  withPlace(async ({ folder, image, said, give }) => {
    const headers = await addHeaders(`${folder}/mine`);
    assert.deepEqual(await give(image, headers), { image, headers });
    assert.deepEqual(said, []);
  }));

Deno.test("without headers those of another kernel are used, and that is said", () =>
  withPlace(async ({ folder, image, said, give }) => {
    await assert.rejects(give(image), refusal(false, /no headers of the kernel are known/));
    const headers = await addHeaders(`${folder}/kernels/7.3.4-1-aa/headers`);
    assert.deepEqual(await give(image), { image, headers, foreignHeaders: true });
    assert.match(said.join(""), /^The headers of .*\/image are not known: .*\(--headers DIR/);
  }));
