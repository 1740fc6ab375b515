/**
 * Mappings that Bargate makes in importers' I/O address spaces (`mapping: bargate`).
 *
 * @module
 */
import { closeOnLane } from "../close_on_lane.ts";
import type { Fd } from "../fd.ts";
import { type GuardedDevice, messageOf } from "../guard_context.ts";
import type { HeldGrant, Mapping } from "../held_grant.ts";
import { explained } from "../refusal.ts";

/** Maps and unmaps the buffers of one device. */
export class ImporterMappings {
  /** @param device whose buffers */
  constructor(private readonly device: GuardedDevice) {}

  /**
   * Maps a buffer.
   *
   * @param iommufd Bargate's copy of the importer's
   * @param iova absent: anywhere
   * @returns where it is mapped
   * @throws {RefusedError} if the kernel refuses; the copy is still the caller's
   */
  async map(
    held: HeldGrant,
    iommufd: Fd,
    ioas: number,
    iova: bigint | undefined,
  ): Promise<Mapping> {
    const { plan } = held.grant;
    const length = plan.ranges.reduce((sum, range) => sum + range.length, 0n);
    const at = await explained(
      `map ${plan.export} for importer ${plan.importer.name}`,
      () =>
        this.device.lane.ioasMapFile({
          iommufd,
          ioas,
          dmaBuf: held.dmaBuf,
          start: 0n,
          length,
          ...(iova === undefined ? {} : { iova }),
          writeable: plan.rule.access === "read-write",
        }),
    );
    return { iommufd, ioas, iova: at, length };
  }

  /**
   * Unmaps what a grant has mapped, and gives the copy of the iommufd back.
   *
   * @returns why it could not be unmapped; then the references decide
   */
  async unmap(held: HeldGrant): Promise<string | undefined> {
    const mapping = held.mapping;
    if (mapping === undefined) return undefined;
    delete held.mapping;
    try {
      return await this.dropArea(mapping);
    } finally {
      await this.closeCopy(mapping.iommufd);
    }
  }

  /**
   * Unmaps, and keeps the copy. The address space is the importer's: that the area is gone already is
   * no failure of ours.
   *
   * @returns why it could not be unmapped
   */
  async dropArea({ iommufd, ioas, iova, length }: Mapping): Promise<string | undefined> {
    const { record, lane } = this.device;
    try {
      await record.limited(
        `unmap from IOAS ${ioas}`,
        lane.ioasUnmap(iommufd, ioas, iova, length),
      );
      return undefined;
    } catch (error) {
      return `the unmap failed: ${messageOf(error)}`;
    }
  }

  /** The last reference to an iommufd takes its address spaces with it, and that can wait. */
  async closeCopy(iommufd: Fd): Promise<void> {
    const { record, context, lane } = this.device;
    await record.attempt(
      "close an importer's iommufd",
      () => closeOnLane(context.kernel, lane, iommufd),
    );
  }
}
