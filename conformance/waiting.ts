/** Calls that wait in the kernel: seen without a clock. @module */
import assert from "node:assert/strict";
import type { Bench } from "./bench.ts";

/** Calls that are answered meanwhile, until a call counts for one that waits. */
const ROUND_TRIPS = 100;
/** The same, until something that must happen counts for missing. */
const MOST_TRIPS = 100_000;

/** Whether a call is still unanswered after others have been answered. */
export async function waits(bench: Bench, call: Promise<unknown>): Promise<boolean> {
  const lane = bench.world.beside("working");
  const iommufd = bench.kernel.openIommufd();
  let answered = false;
  const settled = Promise.allSettled([call]).then(() => answered = true);
  try {
    for (let trip = 0; trip < ROUND_TRIPS && !answered; trip++) await lane.ioasAlloc(iommufd);
    return !answered;
  } finally {
    bench.kernel.close(iommufd);
    void settled;
  }
}

/** Until the driver has begun to revoke. */
export async function begun(bench: Bench, address: string): Promise<void> {
  const lane = bench.world.beside("working");
  const iommufd = bench.kernel.openIommufd();
  try {
    for (let trip = 0; trip < MOST_TRIPS; trip++) {
      if (bench.world.moves(address).includes(true)) return;
      await lane.ioasAlloc(iommufd);
    }
    assert.fail("the driver does not begin to revoke");
  } finally {
    bench.kernel.close(iommufd);
  }
}
