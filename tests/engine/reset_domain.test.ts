import assert from "node:assert/strict";
import { hitTogether } from "../../engine/reset_domain.ts";

const place = (address: string, above: readonly string[], physfn?: string) => ({
  address,
  above,
  slots: [],
  ...(physfn === undefined ? {} : { physfn }),
});
const SWITCH = "0000:00:01.0";
const PF = place("0000:03:00.0", ["0000:02:00.0", SWITCH]);
const VF = place("0000:03:00.1", ["0000:02:00.0", SWITCH], PF.address);
const SIBLING_VF = place("0000:03:00.2", ["0000:02:00.0", SWITCH], PF.address);
const COUSIN = place("0000:05:00.0", ["0000:02:01.0", SWITCH]);
const STRANGER = place("0000:00:14.0", []);

Deno.test("hitTogether finds a physical function, its virtual ones, and what shares a bridge", () => {
  const all = [PF, VF, VF, SIBLING_VF, COUSIN, STRANGER];
  assert.deepEqual(hitTogether(VF, all), [
    { address: PF.address, through: PF.address },
    { address: SIBLING_VF.address, through: PF.address },
    { address: COUSIN.address, through: SWITCH },
  ]);
  assert.deepEqual(hitTogether(PF, all).map(({ through }) => through), [
    PF.address,
    PF.address,
    SWITCH,
  ]);
  assert.deepEqual(hitTogether(STRANGER, all), []);
});
