/* For a program whose own malloc stands in the place of glibc's: glibc's functions behind it, and the exception specification that its
 * declarations carry in C++. */
#ifndef OWN_MALLOC_H
#define OWN_MALLOC_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
#ifdef __cplusplus
}
#define NOTHROW throw()
#if __cplusplus >= 201103L
#undef NOTHROW
#define NOTHROW noexcept
#endif
#else
#define NOTHROW
#endif

#endif
