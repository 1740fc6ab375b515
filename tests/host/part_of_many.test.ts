/** A part of a host's functions costs what the part and its surroundings are. Counted, not timed. */
import assert from "node:assert/strict";
import type { Files } from "../../host/files.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import { type Shape, SOUND, writeLargeHost } from "../support/large_hosts.ts";
import { MemoryFiles } from "../support/memory_files.ts";

const SIZES = [100, 400] as const;
/** Of four times as many functions; squares would be sixteen times as much. */
const MOST_GROWTH = 5;

function hostOf(shape: Shape, count: number): HostSnapshot {
  const path = Deno.makeTempFileSync({ prefix: "bargate-test-" });
  try {
    writeLargeHost(path, shape(count));
    return parseSnapshot(Deno.readFileSync(path)).snapshot ?? assert.fail();
  } finally {
    Deno.removeSync(path);
  }
}

/** How much is read, and how many names are listed, where every other function is wanted. */
function costOf(host: HostSnapshot): number {
  let cost = 0;
  const files = new Proxy<Files>(new SnapshotFiles(host, new MemoryFiles({})), {
    get: (of, key) => {
      const found = Reflect.get(of, key);
      if (typeof found !== "function") return found;
      return (...args: unknown[]) => {
        const answer = found.apply(of, args);
        cost += key === "list" ? answer.length : 1;
        return answer;
      };
    },
  });
  const wanted = new Set(
    host.functions.filter((_, index) => index % 2 === 0).map(({ address }) => address),
  );
  const { kernel, pageSize } = host;
  const { snapshot } = readSnapshot(files, { ...kernel, pageSize }, (each) => wanted.has(each));
  const read = new Set(snapshot.functions.map(({ address }) => address));
  assert.ok([...wanted].every((address) => read.has(address)));
  return cost;
}

for (const [name, shape] of Object.entries(SOUND)) {
  Deno.test(`a part of ${name} costs as their number does`, () => {
    const [few = 0, many = 0] = SIZES.map((size) => costOf(hostOf(shape, size)));
    assert.ok(many / few < MOST_GROWTH, `${few} and ${many} names and files are read`);
  });
}
