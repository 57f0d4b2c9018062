/** A side or a row that cannot run here. It is listed with this reason; it does not make the run fail. */
export class Skip extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Skip';
  }
}
