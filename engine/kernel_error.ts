/**
 * What the kernel answered when it refused.
 *
 * @module
 */

/** A system call or ioctl failed. Never shown to a person as it is: the engine says what it means. */
export class KernelError extends Error {
  override readonly name = "KernelError";

  /**
   * @param call the call by its own name: `VFIO_DEVICE_FEATURE_DMA_BUF`, `openat`
   * @param errno positive number
   * @param errnoName `EINVAL`
   * @param subject what it was called on: a path, a device, a grant
   */
  constructor(
    readonly call: string,
    readonly errno: number,
    readonly errnoName: string,
    readonly subject: string,
  ) {
    super(`${call} on ${subject} failed: ${errnoName}`);
  }
}

/** A lane's thread is no more: it was ended, or it died with this call unanswered. */
export class LaneEndedError extends Error {
  override readonly name = "LaneEndedError";

  /**
   * @param lane the lane's name
   * @param why what ended it
   */
  constructor(readonly lane: string, readonly why: string) {
    super(`Cannot make a call on lane ${lane}: ${why}`);
  }
}
