/** The whole road, to be followed by a person. @module */
import { styleFor } from "../../cmd/output/style.ts";
import { eventText } from "../../cmd/output/event_text.ts";
import type { LabStory, StoryContext } from "../guest/case.ts";
import { encodeHex } from "../hex.ts";
import { join } from "../path.ts";
import { IOVA, LabExport, SLICE } from "../cases/support.ts";

const POLICY = "examples/policies/cmb-to-edu.yaml";
const CHUNK = 64;
const PAGE = 0x1000;
const GREETING = "these bytes lie in the memory of an NVMe controller".padEnd(CHUNK, ".");

/** The story `cmb-to-edu`. */
export const story: LabStory = {
  name: "cmb-to-edu",
  about: "One device's memory reaches another because a policy allows it, and is taken away again",
  async run(context) {
    const { say } = context;
    say(`From a policy to peer-to-peer DMA and back, on Linux ${Deno.osRelease()}`, "title");
    await showPolicy(context);
    const lab = await startExport(context);
    await moveBytes(context, lab);
    await reset(context, lab);
    await showThatItIsDead(context, lab);
    await lab.finish();
    say("The program has ended, and Bargate with it. Nothing is left open.", "done");
  },
};

async function showPolicy(context: StoryContext): Promise<void> {
  const { say, checkout } = context;
  const path = join(checkout, POLICY);
  say(`A policy in git says what may leave which device, and for whom (${POLICY})`, "step");
  const lines = (await Deno.readTextFile(path)).split("\n").filter((line) =>
    !/^\s*(#|$)/.test(line)
  );
  say(lines.join("\n"), "data");
  say("bargate validate: is it sound? No device is needed to say so", "step");
  say(await output(context, ["validate", path]), "data");
  say("bargate plan: what would it do on this machine, down to the bytes of the ioctl?", "step");
  say(await output(context, ["plan", path]), "data");
}

async function startExport(context: StoryContext): Promise<LabExport> {
  const { say, checkout } = context;
  say("bargate export --exec: opens the device, exports the slice, starts the importer", "step");
  say("The importer is a C program without any code of Bargate. It runs as user nobody,", "say");
  say("gets the dma-buf as descriptor 3, and drives a second device: the DMA engine `edu`.", "say");
  const lab = await LabExport.startWith(
    context,
    await Deno.readTextFile(join(checkout, POLICY)),
  );
  showEvents(context, lab, 0);
  return lab;
}

async function moveBytes(context: StoryContext, lab: LabExport): Promise<void> {
  const { say, devices, readBar, writeBar } = context;
  const { address } = devices.nvme;
  say("The DMA engine copies from one page of the controller's memory to the next", "step");
  await writeBar(address, SLICE.bar, SLICE.offset, new TextEncoder().encode(GREETING));
  await writeBar(address, SLICE.bar, SLICE.offset + PAGE, new Uint8Array(CHUNK));
  await lab.map("cmb-data");
  await lab.importer.must(`dma-read ${IOVA} ${CHUNK}`);
  await lab.importer.must(`dma-write ${IOVA + PAGE} ${CHUNK}`);
  const arrived = await readBar(address, SLICE.bar, SLICE.offset + PAGE, CHUNK);
  say(`BAR 2, page 2: "${new TextDecoder().decode(arrived)}"`, "data");
  if (new TextDecoder().decode(arrived) !== GREETING) throw new Error("The bytes did not arrive");
  say("The bytes arrived: device to device, past the CPU, because a policy allows it.", "done");
}

async function reset(context: StoryContext, lab: LabExport): Promise<void> {
  const { say, devices } = context;
  say("bargate reset: the rule says `onReset: revoke`, so the grant ends, for good", "step");
  const before = lab.events.length;
  say(await output(context, ["reset", devices.nvme.address]), "data");
  await lab.event("device-closed");
  showEvents(context, lab, before);
  const { reason } = await lab.packetOf("revoked");
  say(`The importer was told on its channel: revoked, ${reason}.`, "say");
}

async function showThatItIsDead(context: StoryContext, lab: LabExport): Promise<void> {
  const { say, kernelLog, logStart } = context;
  say("A hostile importer keeps its mapping and its descriptor, and tries again", "step");
  await lab.mark();
  const landed = await lab.oldMappingLands();
  if (landed) throw new Error("DMA landed through the old mapping");
  say(`DMA through the old mapping: ${await kernelLog.waitForFault(logStart)}`, "data");
  const again = await lab.importer.ask(`map cmb-data ${IOVA + 16 * PAGE}`);
  say(`IOMMU_IOAS_MAP_FILE of the old descriptor: ${again.error ?? "worked"}`, "data");
  if (again.error !== "ENODEV") throw new Error("The old descriptor can still be imported");
  const bytes = await context.readBar(
    context.devices.nvme.address,
    SLICE.bar,
    SLICE.offset + PAGE,
    8,
  );
  say(`The page is as it was before the attempt (${encodeHex(bytes)}…).`, "done");
}

async function output(context: StoryContext, args: readonly string[]): Promise<string> {
  const ran = await context.bargate(args);
  if (ran.status !== 0) throw new Error(`bargate ${args.join(" ")} failed: ${ran.stderr}`);
  return ran.stdout.trimEnd();
}

function showEvents(context: StoryContext, lab: LabExport, from: number): void {
  const style = styleFor(false);
  context.say(lab.events.slice(from).map((event) => eventText(event, style)).join("\n"), "data");
}
