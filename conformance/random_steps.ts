/**
 * Random histories of {@linkcode Step}s, that come far: the first steps often open a device and
 * export from it.
 *
 * @module
 */
import * as fc from "fast-check";
import type { DmaRange } from "../engine/kernel.ts";
import { MOST, PAGE } from "./bench.ts";
import type { Step } from "./differential.ts";

const CMB_BYTES = 0x100_0000n;

const choice = fc.nat({ max: 7 });
const id = fc.integer({ min: 1, max: 6 });

const offset = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(0n, PAGE, 2n * PAGE, 0x10_0000n, CMB_BYTES - PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(0x800n, CMB_BYTES, 1n << 40n, MOST - PAGE + 1n) },
);
const rangeLength = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(PAGE, 2n * PAGE, 4n * PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(0n, 0x10n, CMB_BYTES, 1n << 63n) },
);
const ranges: fc.Arbitrary<readonly DmaRange[]> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.array(fc.record({ offset, length: rangeLength }), { minLength: 1, maxLength: 1 }),
  },
  { weight: 1, arbitrary: fc.array(fc.record({ offset, length: rangeLength }), { maxLength: 3 }) },
);
const bar = fc.oneof(
  { weight: 8, arbitrary: fc.constant(2) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 3, 5, 6, 7) },
);
const iova = fc.constantFrom(
  0n,
  PAGE,
  2n * PAGE,
  3n * PAGE,
  0x1010n,
  0x10_0000n,
  0x10_1000n,
  0xfee0_0000n,
  1n << 39n,
  MOST - PAGE,
  MOST,
);
const length = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(PAGE, PAGE, 2n * PAGE, 2n * PAGE, 4n * PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(0n, 0x10n, 0x40_0000n, MOST) },
);
const start = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(0n, 0n, 0n, PAGE) },
  { weight: 1, arbitrary: fc.constantFrom(0x10n, 2n * PAGE, MOST) },
);

/** Mostly nothing, for what is chosen otherwise. */
function rarely<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
}

function step<K extends Step["do"]>(
  weight: number,
  kind: K,
  fields: { [F in Exclude<keyof Extract<Step, { do: K }>, "do">]-?: fc.Arbitrary<unknown> },
): fc.WeightedArbitrary<Step> {
  const record = fc.record(
    { do: fc.constant(kind), ...fields } as Record<string, fc.Arbitrary<unknown>>,
  );
  return {
    weight,
    arbitrary: record.map((it) =>
      Object.fromEntries(
        Object.entries(it).filter(([, value]) => value !== undefined),
      ) as unknown as Step
    ),
  };
}

/**
 * A device in low power may be suspended whenever nobody asks it anything, and comes back in D0: when
 * is the kernel's affair, and it brings its command along. So no history has low power and also D3hot
 * or what others write.
 */
function steps(powers: readonly fc.WeightedArbitrary<Step>[]): fc.Arbitrary<Step> {
  const device = choice;
  return fc.oneof(
    step(4, "open", { player: choice }),
    step(2, "openGroup", { player: choice }),
    step(3, "iommufd", {}),
    step(1, "eventFd", {}),
    step(1, "container", {}),
    step(5, "bind", { device, to: choice }),
    step(3, "setContainer", { group: choice, to: choice }),
    step(1, "setIommu", { file: choice }),
    step(3, "groupDevice", { group: choice, player: choice }),
    step(2, "duplicate", { file: choice }),
    step(4, "close", { file: choice }),
    step(8, "export", { device, bar, ranges }),
    step(2, "reset", { device }),
    step(1, "hotReset", { device }),
    step(1, "hotResetByGroup", { device, group: choice }),
    step(1, "sysfsReset", { player: choice }),
    step(1, "functionReset", { device }),
    step(4, "command", { device, value: fc.constantFrom(0, 2, 2, 4, 6) }),
    step(4, "allocate", { iommufd: choice }),
    step(1, "compatible", { space: choice, id: rarely(id) }),
    step(1, "destroy", { iommufd: choice, id }),
    step(2, "attach", { device, space: choice, id: rarely(id) }),
    step(8, "map", {
      space: choice,
      id: rarely(id),
      file: choice,
      start,
      length,
      iova: fc.option(iova, { nil: undefined }),
      writeable: fc.constantFrom(true, true, true, false),
    }),
    step(3, "copy", { area: choice, to: choice, iova: rarely(iova), length: rarely(length) }),
    step(3, "unmap", { area: choice, iova: rarely(iova), length: rarely(length) }),
    step(2, "dma", { area: choice }),
    step(1, "arm", { device, file: choice }),
    ...powers,
  );
}

const d3hot = [
  step(3, "power", { device: choice, state: fc.constantFrom(0, 0, 1, 2, 3, 3) }),
  step(1, "outsideCommand", { player: choice, value: fc.constantFrom(0, 2, 6) }),
];
const lowPower = [
  step(2, "enterLowPower", { device: choice }),
  step(2, "exitLowPower", { device: choice }),
];

const EXPORT: Step = {
  do: "export",
  device: 0,
  bar: 2,
  ranges: [{ offset: 0n, length: 2n * PAGE }],
};
const ALLOCATE: Step = { do: "allocate", iommufd: 0 };
const BY_CHARACTER_DEVICE: readonly Step[] = [
  { do: "iommufd" },
  { do: "open", player: 0 },
  { do: "bind", device: 0, to: 0 },
  ALLOCATE,
  EXPORT,
];
const MAP: Step = {
  do: "map",
  space: 0,
  file: 0,
  start: 0n,
  length: 2n * PAGE,
  iova: 0x10_0000n,
  writeable: true,
};

/** How histories begin: by the character device, by the group, with nothing. */
const BEGINNINGS: readonly (readonly [weight: number, steps: readonly Step[]])[] = [
  [2, BY_CHARACTER_DEVICE],
  [2, [...BY_CHARACTER_DEVICE, MAP]],
  [1, [
    { do: "iommufd" },
    { do: "openGroup", player: 0 },
    { do: "setContainer", group: 0, to: 0 },
    { do: "groupDevice", group: 0, player: 0 },
    ALLOCATE,
    EXPORT,
  ]],
  [1, [
    { do: "container" },
    { do: "openGroup", player: 0 },
    { do: "setContainer", group: 0, to: 0 },
    { do: "setIommu", file: 0 },
    { do: "groupDevice", group: 0, player: 0 },
    EXPORT,
  ]],
  [1, []],
];

/**
 * @param most steps
 * @returns histories
 */
export function histories(most: number): fc.Arbitrary<readonly Step[]> {
  const body = fc.oneof(
    ...[d3hot, lowPower].map((powers) =>
      fc.array(steps(powers), { minLength: most, maxLength: most, size: "max" })
    ),
  );
  return fc.oneof(...BEGINNINGS.map(([weight, beginning]) => ({
    weight,
    arbitrary: body.map((more) => [...beginning, ...more].slice(0, most)),
  })));
}
