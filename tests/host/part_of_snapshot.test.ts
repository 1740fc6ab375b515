/** A part of a snapshot is what would have been read of the host. */
import assert from "node:assert/strict";
import { LinuxFiles } from "../../ffi/linux_files.ts";
import { parseSnapshot } from "../../host/parse_snapshot.ts";
import { partOfSnapshot } from "../../host/part_of_snapshot.ts";
import { readSnapshot } from "../../host/read_snapshot.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { snapshotProblems } from "../../host/snapshot_problems.ts";
import { SnapshotFiles } from "../../sim/snapshot_files.ts";
import "../../ffi/preload.ts";

const HOSTS = new URL("../../examples/hosts/", import.meta.url);

function* hosts(): Generator<[string, HostSnapshot]> {
  for (const { name } of Deno.readDirSync(HOSTS)) {
    if (!name.endsWith(".json")) continue;
    const { snapshot } = parseSnapshot(Deno.readFileSync(new URL(name, HOSTS)));
    assert.ok(snapshot !== undefined);
    yield [name, snapshot];
  }
}

Deno.test("a part of an example host has the functions that would be read of it", () => {
  for (const [name, host] of hosts()) {
    const files = new SnapshotFiles(host, new LinuxFiles());
    for (const { address } of host.functions) {
      const kernel = { release: host.kernel.release, pageSize: host.pageSize };
      const read = readSnapshot(files, kernel, (each) => each === address).snapshot;
      const part = partOfSnapshot(host, new Set([address]));
      const addresses = ({ functions }: HostSnapshot) => functions.map(({ address }) => address);
      assert.deepEqual(addresses(part), addresses(read), `${address} of ${name}`);
      assert.deepEqual(snapshotProblems(part), [], `${address} of ${name}`);
    }
  }
});

Deno.test("a part says nothing that the whole does not", () => {
  for (const [name, host] of hosts()) {
    const { rdma: _, drm: __, nvme: ___, cpu: ____, ...less } = host;
    const [first] = host.functions;
    const part = partOfSnapshot(less, new Set([first?.address ?? ""]));
    const { functions, ...rest } = part;
    const { functions: all, ...whole } = less;
    assert.deepEqual(rest, whole, name);
    assert.ok(functions.every((entry) => all.includes(entry)), name);
    assert.equal(partOfSnapshot(host, new Set(all.map(({ address }) => address))), host);
  }
});
