/** A download breaks off, goes on, and is not believed. Needs apt, as the laboratory does. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { APT_HELPER, download, type Wanted } from "../../lab/kernel/download.ts";
import { exists } from "../../lab/exists.ts";
import { LabError } from "../../lab/lab_error.ts";
import { LabOutput } from "../../lab/output.ts";

const CONTENT = new Uint8Array(300_000).map((_, index) => index * 31 + (index >> 8));
const SHA256 = createHash("sha256").update(CONTENT).digest("hex");
const CHANGED = "Sun, 01 Nov 2026 10:00:00 GMT";
const HALF = 150_000;

interface Mirror {
  readonly wanted: Wanted;
  readonly part: string;
  readonly ranges: (string | null)[];
  readonly said: string[];
  /** What the mirror sends. */
  content: Uint8Array<ArrayBuffer>;
  /** After how many bytes it breaks off. */
  breakAt?: number;
  fetch(): Promise<void>;
}

function answer(mirror: Mirror, request: IncomingMessage, response: ServerResponse): void {
  const { range = null } = request.headers;
  mirror.ranges.push(range);
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const { content, breakAt } = mirror;
  response.writeHead(from > 0 ? 206 : 200, {
    "accept-ranges": "bytes",
    "content-length": content.length - from,
    "last-modified": CHANGED,
    ...(from > 0 && { "content-range": `bytes ${from}-${content.length - 1}/${content.length}` }),
  });
  if (breakAt === undefined) response.end(content.subarray(from));
  // What was sent before must arrive: the end of the connection comes behind it.
  else response.write(content.subarray(from, breakAt), () => request.socket.end());
}

/** @returns the port */
async function listen(server: Server): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return (server.address() as AddressInfo).port;
}

async function shutDown(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeAllConnections();
  await promise;
}

async function withMirror(use: (mirror: Mirror) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const said: string[] = [];
  const output = new LabOutput({ isTerminal: false, write: (text) => said.push(text) }, false);
  const server = createServer((request, response) => answer(mirror, request, response));
  const port = await listen(server);
  const wanted = {
    name: "linux-source-9.9",
    version: "9.9-1",
    uri: `http://127.0.0.1:${port}/linux.deb`,
    bytes: CONTENT.length,
    sha256: SHA256,
    path: `${folder}/linux.deb`,
  };
  const apt = ["-o", "Acquire::Retries=0", "-o", "Acquire::http::Proxy=false"];
  const mirror: Mirror = {
    wanted,
    part: `${wanted.path}.part`,
    ranges: [],
    said,
    content: CONTENT,
    fetch: () => download(wanted, apt, output),
  };
  try {
    await use(mirror);
  } finally {
    await shutDown(server);
    await Deno.remove(folder, { recursive: true });
  }
}

function test(name: string, use: (mirror: Mirror) => Promise<void>): void {
  Deno.test({ name, ignore: !aptIsHere, fn: () => withMirror(use) });
}

const aptIsHere = await exists(APT_HELPER);

async function putPart(mirror: Mirror, bytes: Uint8Array): Promise<void> {
  await Deno.writeFile(mirror.part, bytes);
  await Deno.utime(mirror.part, new Date(CHANGED), new Date(CHANGED));
}

async function isThere(mirror: Mirror): Promise<void> {
  assert.deepEqual(await Deno.readFile(mirror.wanted.path), CONTENT);
  assert.equal(await exists(mirror.part), false);
}

test("a download that broke off goes on where it was", async (mirror) => {
  mirror.breakAt = HALF;
  await assert.rejects(
    mirror.fetch(),
    (error: unknown) =>
      error instanceof LabError && /^Cannot fetch linux-source-9\.9: /.test(error.message) &&
      /start again: it goes on/.test(error.fix ?? ""),
  );
  const { size } = await Deno.stat(mirror.part);
  assert.ok(size > 0 && size <= HALF, `${size}`);
  delete mirror.breakAt;
  await mirror.fetch();
  assert.deepEqual(mirror.ranges, [null, `bytes=${size}-`]);
  await isThere(mirror);
  assert.match(mirror.said.join(""), /^Fetching linux-source-9\.9 9\.9-1 \(0 MB\)\nGoing on with /);
});

test("what is whole and right is not fetched again, what is damaged is", async (mirror) => {
  await Deno.writeFile(mirror.wanted.path, CONTENT);
  await mirror.fetch();
  assert.deepEqual(mirror.ranges, []);
  await Deno.writeFile(mirror.wanted.path, new Uint8Array(CONTENT.length));
  await mirror.fetch();
  assert.deepEqual(mirror.ranges, [null]);
  await isThere(mirror);
});

test("a part that is damaged is found out at the end, and fetched anew once", async (mirror) => {
  await putPart(mirror, new Uint8Array(HALF));
  await mirror.fetch();
  assert.deepEqual(mirror.ranges, [`bytes=${HALF}-`, null]);
  await isThere(mirror);
  assert.match(mirror.said.join(""), /was damaged: fetching it anew/);
});

test("a part that is whole needs no network; one that is too long is of no use", async (mirror) => {
  await putPart(mirror, CONTENT);
  await mirror.fetch();
  assert.deepEqual(mirror.ranges, []);
  await isThere(mirror);
  await Deno.remove(mirror.wanted.path);
  await putPart(mirror, new Uint8Array(CONTENT.length + 1));
  await mirror.fetch();
  assert.deepEqual(mirror.ranges, [null]);
  await isThere(mirror);
});

test("what has another hash than the signed list says is refused, and not kept", async (mirror) => {
  mirror.content = CONTENT.with(HALF, (CONTENT[HALF] ?? 0) ^ 1);
  await assert.rejects(
    mirror.fetch(),
    (error: unknown) =>
      error instanceof LabError && /sends has another hash than its list$/.test(error.message),
  );
  assert.equal(await exists(mirror.wanted.path), false);
  assert.equal(await exists(mirror.part), false);
  assert.equal(await exists(`${mirror.part}.FAILED`), false);
});

test("a disk without room for it is told before anything is fetched", async (mirror) => {
  const wanted = { ...mirror.wanted, bytes: 2 ** 60 };
  const output = new LabOutput({ isTerminal: false, write: () => undefined }, false);
  await assert.rejects(
    download(wanted, [], output),
    /^LabError: Cannot fetch linux-source-9\.9: .* GiB are needed$/,
  );
  assert.deepEqual(mirror.ranges, []);
});
