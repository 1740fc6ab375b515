import assert from "node:assert/strict";
import { fileHash, textHash } from "../../lab/file_hash.ts";
import {
  type BuiltRecord,
  cacheKey,
  findAnyHeaders,
  findCached,
  headersOf,
} from "../../lab/kernel/cache.ts";

const FRAGMENT = "CONFIG_PCI=y\n";

async function withCache(use: (cache: string) => Promise<void>): Promise<void> {
  const cache = await Deno.makeTempDir();
  try {
    await use(cache);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
}

async function addKernel(cache: string, version: string, fragment = FRAGMENT): Promise<string> {
  const folder = `${cache}/${cacheKey(version, fragment)}`;
  await Deno.mkdir(`${folder}/headers/linux`, { recursive: true });
  for (const name of ["vfio.h", "iommufd.h"]) {
    await Deno.writeTextFile(`${folder}/headers/linux/${name}`, "");
  }
  await Deno.writeTextFile(`${folder}/bzImage`, `kernel ${version}`);
  await Deno.writeTextFile(`${folder}/config`, fragment);
  const record: BuiltRecord = {
    source: "linux-source-7.3",
    version,
    sourceSha256: "",
    fragmentSha256: textHash(fragment),
    imageSha256: await fileHash(`${folder}/bzImage`),
    configSha256: await fileHash(`${folder}/config`),
  };
  await Deno.writeTextFile(`${folder}/built.json`, JSON.stringify(record));
  return folder;
}

Deno.test("cacheKey() changes with the version and with the options", () => {
  const keys = [
    cacheKey("7.3.4-1~bpo13+1", FRAGMENT),
    cacheKey("7.3.5-1~bpo13+1", FRAGMENT),
    cacheKey("7.3.4-1~bpo13+1", `${FRAGMENT}CONFIG_NET=y\n`),
  ];
  assert.equal(new Set(keys).size, 3);
  assert.match(keys[0] ?? "", /^7\.3\.4-1~bpo13\+1-[0-9a-f]{12}$/);
});

Deno.test("cacheKey() is one name of a folder, whatever the version", () => {
  assert.doesNotMatch(cacheKey("1:2/../x y", FRAGMENT), /[/ :]/);
});

Deno.test("findCached() finds nothing where there is no cache", async () => {
  assert.equal(await findCached("/nonexistent/bargate", FRAGMENT), undefined);
});

Deno.test("findCached() takes the newest kernel with these options", () =>
  withCache(async (cache) => {
    await addKernel(cache, "7.3.9-1");
    const newest = await addKernel(cache, "7.3.10-1");
    await addKernel(cache, "7.4.1-1", "CONFIG_NET=y\n");
    assert.deepEqual(await findCached(cache, FRAGMENT), {
      image: `${newest}/bzImage`,
      headers: `${newest}/headers`,
    });
  }));

Deno.test("headersOf() finds what was built with an image, by its content", () =>
  withCache(async (cache) => {
    const folder = await addKernel(cache, "7.3.4-1", "CONFIG_NET=y\n");
    await addKernel(cache, "7.3.5-1");
    await Deno.copyFile(`${folder}/bzImage`, `${cache}/elsewhere`);
    assert.equal(await headersOf(cache, `${cache}/elsewhere`), `${folder}/headers`);
    await Deno.writeTextFile(`${cache}/elsewhere`, "another");
    assert.equal(await headersOf(cache, `${cache}/elsewhere`), undefined);
    assert.match(await findAnyHeaders(cache) ?? "", /\/7\.3\.5-1-\w+\/headers$/);
  }));

Deno.test("findCached() passes over a kernel whose headers are gone", () =>
  withCache(async (cache) => {
    const folder = await addKernel(cache, "7.3.4-1");
    await Deno.remove(`${folder}/headers/linux/vfio.h`);
    assert.equal(await findCached(cache, FRAGMENT), undefined);
    assert.equal(await findAnyHeaders(cache), undefined);
  }));

Deno.test("findCached() takes no notice of what is no kernel", () =>
  withCache(async (cache) => {
    await Deno.writeTextFile(`${cache}/a-${textHash(FRAGMENT).slice(0, 12)}`, "");
    assert.equal(await findCached(cache, FRAGMENT), undefined);
    assert.equal(
      await findCached(`${cache}/a-${textHash(FRAGMENT).slice(0, 12)}`, FRAGMENT),
      undefined,
    );
  }));

for (const file of ["bzImage", "config", "built.json"]) {
  Deno.test(`findCached() passes over a kernel whose ${file} was changed`, () =>
    withCache(async (cache) => {
      const folder = await addKernel(cache, "7.3.4-1");
      await Deno.writeTextFile(`${folder}/${file}`, "{");
      assert.equal(await findCached(cache, FRAGMENT), undefined);
    }));

  Deno.test(`findCached() passes over a kernel whose ${file} is missing`, () =>
    withCache(async (cache) => {
      const folder = await addKernel(cache, "7.3.4-1");
      await Deno.remove(`${folder}/${file}`);
      assert.equal(await findCached(cache, FRAGMENT), undefined);
    }));
}
