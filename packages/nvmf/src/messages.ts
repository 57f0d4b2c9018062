/** Ring messages between poll groups: this package's kinds are 48 … 63. */
export const Message = {
  /** To the reactor of a queue: controller, queue id, command id, token. Answered by ABORTED. */
  ABORT: 48,
  /** To the reactor of the admin queue: token, 1 if the command was aborted. */
  ABORTED: 49,
  /** End the queue pairs of a controller: controller, 1 for I/O queues only. */
  DISCONNECT: 50,
  /** Note what a controller's queue pairs have done: controller. */
  ACTIVITY: 51,
} as const;
