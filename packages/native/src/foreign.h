// What other processes send descriptors of.
#ifndef SPDK_TS_FOREIGN_H
#define SPDK_TS_FOREIGN_H
#include "addon.h"

// True if touching the memory of a file could wait for ever, because another process or machine brings its pages: then `why`
// is a text about argument 1. Memory files, huge pages, tmpfs and local disks do not.
bool may_stall(int fd, char *why, size_t size);
#endif
