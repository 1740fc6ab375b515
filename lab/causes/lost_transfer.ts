/** What is known of DMA that should have landed and did not. @module */
import type { CaseContext } from "../guest/case.ts";
import { encodeHex } from "../hex.ts";
import type { Player } from "./player.ts";
import type { ExportSpec } from "./scenario.ts";

const PCI = "/sys/bus/pci/devices";
const BAR = 2;
const PAGE = 0x1000;
const COMMAND = 4;
/** Of a function the six BARs; of a bridge its own two, its buses and the windows below it. */
const BARS = [0x10, 0x28] as const;
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
  const folder = `${PCI}/${devices[slice.device].address}`;
  for (
    const each of [`${PCI}/${devices.edu.address}`, folder, parentOf(await Deno.realPath(folder))]
  ) {
    const config = await Deno.readFile(`${each}/config`);
    const shown = (from: number, to: number) => encodeHex(config.subarray(from, to));
    say(`${each} has command ${shown(COMMAND, COMMAND + 2)}, BARs or windows ${shown(...BARS)}`);
  }
  for (const { name, device, offset } of exports) {
    for (const page of [0, PAGE]) {
      const there = await context.readBar(devices[device].address, BAR, offset + page, SHOWN);
      say(`${name} + 0x${page.toString(16)} begins ${start(there)}`);
    }
  }
  say(`the engine's buffer: ${JSON.stringify(await player.ask(`engine-peek ${PEEK}`))}`);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

function start(bytes: Uint8Array): string {
  return encodeHex(bytes.subarray(0, SHOWN));
}
