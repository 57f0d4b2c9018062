export {
  allocateIndex,
  INDEX_KEYS_MAX,
  INDEX_USER_WORDS,
  INDEX_VALUE_WORDS,
  KvIndex,
  NO_NODE,
} from './kv-index.ts';
export { KvLists } from './kv-lists.ts';
export { RetryQueue } from './retry-queue.ts';
export { tryLock, unlock } from './spin-lock.ts';
