/** A message that cannot be carried out: what was wrong with which value. */
export class VhostUserError extends Error {
  /** The stream of messages is not to be trusted any more: the connection ends. */
  readonly fatal: boolean;

  constructor(message: string, fatal = false) {
    super(message);
    this.name = 'VhostUserError';
    this.fatal = fatal;
  }
}
