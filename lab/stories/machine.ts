/** What the laboratory's machine consists of. @module */
import type { LabStory } from "../guest/case.ts";

/** The story `machine`. */
export const story: LabStory = {
  name: "machine",
  about: "Shows the devices of the laboratory and where they sit",
  async run({ devices, say, vfioNode }) {
    say(`A machine without hardware, Linux ${Deno.osRelease()}`, "title");
    for (const { role, address, id, driver, about } of Object.values(devices)) {
      const node = driver === "vfio-pci" ? await vfioNode(address) : `driver ${driver}`;
      say(`${role}: ${about}`, "step");
      say(`${address} ${id} ${node}`, "data");
    }
  },
};
