/** `inventory --matrix`. */
import assert from "node:assert/strict";
import { ExitStatus } from "../../cmd/exit_status.ts";
import { pathMatrixJson } from "../../cmd/output/path_matrix_json.ts";
import { pathMatrixTable } from "../../cmd/output/path_matrix_table.ts";
import { pathMatrix } from "../../engine/path_matrix.ts";
import type { HostSnapshot } from "../../host/snapshot.ts";
import { hostOf, ROOT_PORT } from "../host/topology/support.ts";
import { bargate } from "./run_verb.ts";

const HOSTS = new URL("../../examples/hosts/", import.meta.url).pathname;
const ALL = { rights: ["-A"] };
const PAGE_BAR = {
  index: 0,
  kind: "memory64",
  start: 0n,
  size: 4096n,
  prefetchable: true,
} as const;

function tableOf(host: HostSnapshot): string {
  return [...pathMatrixTable(pathMatrix(host))].join("");
}

Deno.test("inventory --matrix says of each pair how it is reached, and of groups that are held", async () => {
  const args = ["inventory", "--matrix", "--sim", `${HOSTS}spdk-direct.json`];
  const { status, stdout } = await bargate(args, ALL);
  assert.equal(status, ExitStatus.done);
  assert.deepEqual(stdout.split("\n").slice(0, 6), [
    "EXPORTER      DRIVER     GROUP   0000:04:00.0  0000:04:00.1",
    "                                 mlx5_core     mlx5_core",
    "0000:03:00.0  vfio-pci   3 held  direct 4      direct 4",
    "0000:04:00.0  mlx5_core  3 held  direct 0      direct 2",
    "0000:04:00.1  mlx5_core  3 held  direct 2      direct 0",
    "0000:05:00.0  nvme       3 held  direct 4      direct 4",
  ]);
});

Deno.test("inventory --matrix --format json has the way, what redirects, why, and what to do", async () => {
  const sim = `${HOSTS}spdk-redirected.json`;
  const args = ["inventory", "--matrix", "--format", "json", "--device", "0000:03:00.0"];
  const { stdout } = await bargate([...args, "--sim", sim], ALL);
  const { kind, exporters, importers, groups, paths } = JSON.parse(stdout);
  assert.equal(kind, "PathMatrix");
  assert.deepEqual(exporters, [{
    address: "0000:03:00.0",
    id: "144d:a80a",
    driver: "vfio-pci",
    group: { number: 4, viable: true },
  }]);
  assert.equal(importers.length, 2);
  assert.deepEqual(groups, [{ number: 4, heldBy: [] }]);
  const [{ why, fix, ...first }] = paths;
  const bits = ["request-redirect", "completion-redirect"];
  assert.deepEqual(first, {
    exporter: "0000:03:00.0",
    importer: "0000:04:00.0",
    path: "through-host-bridge",
    supported: true,
    distance: 4,
    common: "0000:01:00.0",
    exporterSide: ["0000:03:00.0", "0000:02:00.0"],
    importerSide: ["0000:04:00.0", "0000:02:04.0"],
    redirecting: [{ address: "0000:02:00.0", bits }, { address: "0000:02:04.0", bits }],
    reason: "listed",
  });
  assert.match(why, /^through the host bridge: /);
  assert.match(fix, /disable_acs_redir=0000:02:00\.0;0000:02:04\.0 /);
});

Deno.test("bridges export nothing, small and I/O BARs neither; names make an importer", () => {
  const base = hostOf([
    { address: "0000:00:01.0", parent: "pci0000:00", type: ROOT_PORT },
    { address: "0000:01:00.0", parent: "0000:00:01.0", driver: "mlx5_vfio_pci" },
    { address: "0000:01:00.1", parent: "0000:00:01.0" },
    { address: "0000:01:00.2", parent: "0000:00:01.0" },
    { address: "0000:01:00.3", parent: "0000:00:01.0", driver: "virtio-pci", id: "1af4:1041" },
    { address: "0000:01:00.4", parent: "0000:00:01.0", driver: "xe" },
  ]);
  const functions = base.functions.map((entry) => {
    if (entry.address === "0000:00:01.0") return { ...entry, class: "060400", bars: [PAGE_BAR] };
    if (entry.address === "0000:01:00.1") return { ...entry, bars: [PAGE_BAR] };
    return { ...entry, bars: [{ ...PAGE_BAR, size: 2048n }] };
  });
  const drm = [{ name: "card0", function: "0000:01:00.2" }, { name: "renderD128" }];
  const matrix = pathMatrix({ ...base, functions, drm });
  const addresses = (list: readonly { readonly entry: { readonly address: string } }[]) =>
    list.map(({ entry }) => entry.address);
  assert.deepEqual(addresses(matrix.exporters), ["0000:01:00.0", "0000:01:00.1"]);
  assert.deepEqual(addresses(matrix.importers), ["0000:01:00.2", "0000:01:00.4"]);
  assert.deepEqual(matrix.importers[0]?.names, ["card0"]);
});

Deno.test("many importers go below each other, none at all is said", () => {
  const nics = Array.from({ length: 8 }, (_, at) => (
    { address: `0000:00:0${at}.0`, parent: "pci0000:00", driver: "mlx5_core" }
  ));
  const exporter = { address: "0000:00:1f.0", parent: "pci0000:00", driver: "vfio-pci" };
  const heads = tableOf(hostOf([...nics, exporter])).split("\n").filter((line) =>
    line.startsWith("EXPORTER")
  );
  assert.deepEqual(heads.map((line) => line.split(/ +/).length), [9, 5]);
  assert.equal(tableOf(hostOf([exporter])), "no function could import\n");
  assert.equal(tableOf(hostOf([])), "no function could export\n");
  const empty = JSON.parse([...pathMatrixJson(pathMatrix(hostOf([exporter])), "7.3.4")].join(""));
  assert.deepEqual([empty.exporters.length, empty.paths], [1, []]);
});
