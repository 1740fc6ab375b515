/** What is known of DMA that should have landed and did not. @module */
import type { CaseContext } from "../guest/case.ts";
import { encodeHex } from "../hex.ts";
import type { Player } from "./player.ts";
import type { ExportSpec } from "./scenario.ts";

const PCI = "/sys/bus/pci/devices";
const BAR = 2;
const PAGE = 0x1000;
const COMMAND = 4;
const SHOWN = 8;
/** Where the engine's own memory is mapped holds what it reads next; peeking comes last. */
const PEEK = 64;

/**
 * Logs whether the engine is still a bus master, what it read, and where what it wrote has gone.
 *
 * @param context of the case
 * @param player whose engine moved the bytes
 * @param slice what it should have reached
 * @param exports all slices where the bytes may be instead
 * @param pattern the bytes
 */
export async function tellLostTransfer(
  context: CaseContext,
  player: Player,
  slice: ExportSpec,
  exports: readonly ExportSpec[],
  pattern: Uint8Array,
): Promise<void> {
  const { devices, log } = context;
  const say = (text: string) => log(`no DMA to ${slice.name}: ${text}`);
  say(`the pattern begins ${start(pattern)}`);
  for (const device of new Set([devices.edu, devices[slice.device]])) {
    const config = await Deno.readFile(`${PCI}/${device.address}/config`);
    say(`${device.address} has command ${encodeHex(config.subarray(COMMAND, COMMAND + 2))}`);
  }
  for (const { name, device, offset } of exports) {
    for (const page of [0, PAGE]) {
      const there = await context.readBar(devices[device].address, BAR, offset + page, SHOWN);
      say(`${name} + 0x${page.toString(16)} begins ${start(there)}`);
    }
  }
  say(`the engine's buffer: ${JSON.stringify(await player.ask(`engine-peek ${PEEK}`))}`);
}

function start(bytes: Uint8Array): string {
  return encodeHex(bytes.subarray(0, SHOWN));
}
