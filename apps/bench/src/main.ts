import { benchCommand } from './command.ts';

await benchCommand().parseAsync();
