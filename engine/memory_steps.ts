/**
 * What makes sure of a controller's memory buffer, call by call: what `MemoryKeeper` does at the first
 * open.
 *
 * @module
 */
import { BASE_ADDRESSES_BYTES, PCI_BASE_ADDRESSES } from "../host/bar_address.ts";
import { CMB_REGISTERS, enablingControl } from "../host/nvme_cmb.ts";
import type { MemoryPlace } from "../host/snapshot.ts";
import type { DeviceTarget } from "./device_target.ts";
import { REGISTERS_BAR } from "./nvme_registers.ts";
import type { FdName, PlannedCall, PlanStep } from "./planned_call.ts";
import type { PlannedMemory } from "./planned_memory.ts";
import { CONFIG_REGION } from "./session.ts";

/**
 * @param device open
 * @param target what it must be
 * @returns none if no rule exports its buffer
 */
export function memorySteps(
  device: FdName,
  { controllerMemory: memory }: DeviceTarget,
): readonly PlanStep[] {
  if (memory === undefined) return [];
  const { state, bar, offset, size, base } = memory;
  const place = { bar, offset, size };
  const where = reads(device, state === "enabled" ? { state, ...place } : { state });
  if (state === "enabled" || base === undefined) return where;
  const { upper, lower } = enablingControl(base);
  return [
    ...where,
    {
      made: {
        call: "readRegion",
        on: device,
        region: CONFIG_REGION,
        offset: BigInt(PCI_BASE_ADDRESSES),
        length: BASE_ADDRESSES_BYTES,
      },
      expect: { barAddress: base - offset },
    },
    { made: write(device, "controlUpper", upper) },
    { made: write(device, "control", lower) },
    { made: read(device, "status"), expect: { baseIsInvalid: false } },
    ...reads(device, { state: "enabled", ...place }),
  ];
}

/** What is expected is seen with the last of them. */
function reads(
  device: FdName,
  controllerMemory: Pick<PlannedMemory, "state"> & Partial<MemoryPlace>,
): readonly PlanStep[] {
  return [
    { made: read(device, "capabilities") },
    { made: read(device, "capabilitiesUpper") },
    { made: read(device, "location") },
    { made: read(device, "size"), expect: { controllerMemory } },
  ];
}

function read(on: FdName, register: keyof typeof CMB_REGISTERS): PlannedCall {
  return { call: "readRegion", on, region: REGISTERS_BAR, ...CMB_REGISTERS[register] };
}

function write(on: FdName, register: keyof typeof CMB_REGISTERS, bytes: Uint8Array): PlannedCall {
  const { offset } = CMB_REGISTERS[register];
  return { call: "writeRegion", on, region: REGISTERS_BAR, offset, bytes: bytes.toHex() };
}
