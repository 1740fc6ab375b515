/** Importers by what they are to the exporter (`vfio_pci_dma_buf_attach`, and each driver). @module */
import assert from "node:assert/strict";
import type { Fd } from "../../engine/fd.ts";
import { type Bench, errnoOf, MEMORY } from "../bench.ts";
import type { ConformanceCase, Subject } from "../case.ts";
import { begun, waits } from "../waiting.ts";
import type { Importer } from "../world.ts";

const only = { side: "sim", why: "QEMU emulates no such importer" } as const;

interface Imported {
  readonly device: Fd;
  readonly address: string;
  readonly buffer: Fd;
  readonly importer: Importer;
}

function sim(name: string, run: (bench: Bench) => Promise<void>): ConformanceCase {
  return { name, only, needs: ["memory"], run };
}

/** An import that works. */
function imports(
  name: string,
  driver: string,
  run: (bench: Bench, imported: Imported) => Promise<void>,
): ConformanceCase {
  return sim(`${driver}: ${name}`, async (bench) => {
    const { device, facts: { address } } = await bench.bound("memory");
    const buffer = await bench.export(device);
    bench.world.moves(address);
    const importer = bench.world.importBy(driver, buffer);
    try {
      assert.ok(importer.lands());
      await run(bench, { device, address, buffer, importer });
    } finally {
      importer.leave();
    }
  });
}

/** What an import by a driver that is refused answers, alive and revoked. */
function refused(driver: string, alive: string, revoked: string): ConformanceCase {
  return sim(
    `${driver} is refused with ${alive}, and with ${revoked} when revoked`,
    async (bench) => {
      const { device } = await bench.bound("memory");
      const buffer = await bench.export(device);
      const attach = () => bench.world.importBy(driver, buffer);
      assert.equal(await errnoOf(attach), alive);
      await bench.writeCommand(device, 0);
      assert.equal(await errnoOf(attach), revoked);
    },
  );
}

const cases: readonly ConformanceCase[] = [
  ...["mlx5", "amdgpu", "xe"].map((driver) =>
    imports("comes back by itself after a bounce, and not before", driver, async (bench, it) => {
      const off = bench.writeCommand(it.device, 0);
      await begun(bench, it.address);
      // One that lets go late does so when it is used.
      assert.ok(!it.importer.lands());
      await off;
      assert.ok(!it.importer.lands());
      await bench.writeCommand(it.device, MEMORY);
      assert.ok(it.importer.lands());
    })
  ),
  ...["irdma", "virtio-gpu"].map((driver) =>
    imports("does not come back after a bounce; a new import works", driver, async (bench, it) => {
      await bench.lane.resetDevice(it.device);
      assert.ok(!it.importer.lands());
      const again = bench.world.importBy(driver, it.buffer);
      assert.ok(again.lands());
      again.leave();
    })
  ),
  ...["mlx5", "amdgpu", "xe", "irdma", "virtio-gpu"].flatMap((driver) => [
    imports(
      "keeps the buffer, and reaches nothing after the device's close",
      driver,
      async (bench, it) => {
        assert.equal(bench.references(it.buffer), 2);
        const closed = bench.lane.close(it.device);
        await begun(bench, it.address);
        it.importer.lands();
        await closed;
        assert.ok(!it.importer.lands());
        it.importer.leave();
        assert.equal(bench.references(it.buffer), 1);
      },
    ),
    sim(`${driver}: what is revoked is not imported: ENODEV`, async (bench) => {
      const { device } = await bench.bound("memory");
      const buffer = await bench.export(device);
      await bench.writeCommand(device, 0);
      assert.equal(await errnoOf(() => bench.world.importBy(driver, buffer)), "ENODEV");
    }),
    sim(`${driver}: a device that the topology keeps away is refused: EINVAL`, async (bench) => {
      const { device } = await bench.bound("memory");
      const buffer = await bench.export(device);
      assert.equal(await errnoOf(() => bench.world.importBy(driver, buffer, false)), "EINVAL");
    }),
  ]),
  imports("an idle client keeps a reset waiting until it is used", "xe", async (bench, it) => {
    const reset = bench.lane.resetDevice(it.device);
    assert.ok(await waits(bench, reset));
    it.importer.lands();
    await reset;
    assert.ok(it.importer.lands());
  }),
  imports("an idle client keeps a close waiting until it has gone", "xe", async (bench, it) => {
    const close = bench.lane.close(it.device);
    assert.ok(await waits(bench, close));
    it.importer.leave();
    await close;
  }),
  ...["efa", "bnxt_re", "mana", "ionic"].map((driver) => refused(driver, "EOPNOTSUPP", "ENODEV")),
  ...["i915", "nouveau"].map((driver) => refused(driver, "EOPNOTSUPP", "EOPNOTSUPP")),
];

/** Cases of importers besides iommufd. */
export const subject: Subject = { title: "Other importers", cases };
