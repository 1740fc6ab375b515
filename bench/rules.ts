/**
 * Policies of any size, for benchmarks.
 *
 * @module
 */

/** Bytes of one slice and of the gap to the next. */
const STEP = 8192;

/** One policy: so many rules with so many slices each, on a few devices with six BARs. */
export function policyText(rules: number, slices = 1): string {
  const devices = Math.max(1, Math.ceil(rules / 600));
  const names = Array.from({ length: devices }, (_, index) => index);
  return [
    "apiVersion: bargate/v1",
    "kind: ExportPolicy",
    "metadata: { name: bench }",
    "devices:",
    ...names.map((index) =>
      `  ssd${index}: { match: { id: "1b36:0010", address: "${addressOf(index)}" } }`
    ),
    "importers:",
    "  engine: { identity: { user: nobody }, driver: mlx5 }",
    "exports:",
    ...Array.from({ length: rules }, (_, index) => ruleLine(index, devices, slices)),
    "",
  ].join("\n");
}

function addressOf(index: number): string {
  return `0000:${(index + 1).toString(16).padStart(2, "0")}:00.0`;
}

/** Where a rule of {@linkcode policyText} stands. */
export function placeOf(index: number, rules: number, slices = 1) {
  const devices = Math.max(1, Math.ceil(rules / 600));
  const turn = Math.floor(index / devices / 6);
  return {
    device: `ssd${index % devices}`,
    bar: Math.floor(index / devices) % 6,
    offset: BigInt(turn * slices * STEP),
  };
}

function ruleLine(index: number, devices: number, slices: number): string {
  const rules = devices === 1 ? 1 : devices * 600;
  const { device, bar, offset } = placeOf(index, rules, slices);
  const list = Array.from(
    { length: slices },
    (_, at) => `{ offset: ${offset + BigInt(at * STEP)}, length: 4KiB }`,
  );
  return `  - { name: e${index}, device: ${device}, bar: ${bar}, slices: [${
    list.join(", ")
  }], importers: [engine], collateral: device }`;
}
