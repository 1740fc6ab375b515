/**
 * What `fast-check` is in this repository (deno.json maps the name to this module): fast-check with a
 * fixed seed. Property tests draw the same values in every run, so that a test that turns red was turned
 * by a change. `BARGATE_SEED` gives another seed; `deno task test:seeds` tries many.
 *
 * It is no preload of the tests, for most of them draw nothing, and would load fast-check nevertheless.
 *
 * @module
 */
import fc from "fast-check-unseeded";

export * from "fast-check-unseeded";
export { default } from "fast-check-unseeded";

const FIXED = 1;
const wanted = Deno.env.get("BARGATE_SEED") ?? String(FIXED);
if (!/^[0-9]{1,9}$/.test(wanted)) {
  throw new Error(`BARGATE_SEED must be a number of at most nine digits (received ${wanted})`);
}
fc.configureGlobal({ seed: Number(wanted) });
