/** How long the suites run: short in CI, as long as `npm run soak` says otherwise. */
const number = (name: string, otherwise: number): number => Number(process.env[name] || otherwise);

/** Seconds of full load. */
export const soakSeconds: number = number('SOAK_SECONDS', 20);
/** How often the target is killed. */
export const soakKills: number = number('SOAK_KILLS', 5);
/** How often simulated disks lose their power. */
export const soakCrashes: number = number('SOAK_CRASHES', 300);
/** The seed of this run: printed, and taken from LOAD_SEED to replay it. */
export const soakSeed: number = number('LOAD_SEED', Math.floor(Math.random() * 2 ** 32));
