// A frame from the outputs of a frame graph with the external warp, for OpenCL 1.2 and later.
//
// Buffers are NHWC with batch 1, as SNPE delivers them; all are float, or all half with -D HALF
// (storage only: vload_half is core OpenCL, so no extension is needed, and arithmetic is float).
// Not tested with -cl-fast-relaxed-math.

#ifdef HALF
#define SCALAR half
#define LOAD(index, from) vload_half(index, from)
#define LOAD2(index, from) vload_half2(index, from)
#define LOAD3(index, from) vload_half3(index, from)
#else
#define SCALAR float
#define LOAD(index, from) (from)[index]
#define LOAD2(index, from) vload2(index, from)
#define LOAD3(index, from) vload3(index, from)
#endif

// The texel in column at.x and row at.y; zero outside.
float3 texel(__global const SCALAR *avatar, int size, int2 at)
{
    bool inside = at.x >= 0 && at.x < size && at.y >= 0 && at.y < size;
    return inside ? LOAD3(at.y * size + at.x, avatar) : (float3)(0.0f);
}

// The texture at pixel + d, bilinear: only d is a floating point number, never a coordinate.
float3 warp(__global const SCALAR *avatar, int size, int2 pixel, float2 delta_uv)
{
    float2 d = delta_uv * (0.5f * (float)size);
    float2 whole = floor(d);
    float2 part = d - whole;
    int2 at = pixel + convert_int2(whole);
    float3 a = texel(avatar, size, at);
    float3 b = texel(avatar, size, at + (int2)(1, 0));
    float3 c = texel(avatar, size, at + (int2)(0, 1));
    float3 e = texel(avatar, size, at + (int2)(1, 1));
    float3 upper = a + (b - a) * part.x;
    float3 lower = c + (e - c) * part.x;
    return upper + (lower - upper) * part.y;
}

// Colour over background; -1 is black and 1 is white.
float3 over(float3 color, float3 background, float mask)
{
    return color * mask + background * (1.0f - mask);
}

// One work-item a pixel; work-items beyond size x size do nothing.
__kernel void frame(
    __global const SCALAR *avatar,    // [size, size, 3], the person's texture
    __global const SCALAR *delta_uv,  // [size, size, 2], channel 0 is x
    __global const SCALAR *rgb,       // [size, size, 3]
    __global const SCALAR *mask,      // [size, size, 1], or NULL: keep the generated background
    int size,
    float4 background,                // r, g, b in [-1, 1], w unused; ignored without a mask
    __write_only image2d_t image)     // RGBA, UNORM_INT8 or FLOAT; row 0 is the top of the frame
{
    int2 pixel = (int2)((int)get_global_id(0), (int)get_global_id(1));
    if (pixel.x >= size || pixel.y >= size)
        return;
    int index = pixel.y * size + pixel.x;
    float3 low = LOAD3(index, rgb);
    float3 high = warp(avatar, size, pixel, LOAD2(index, delta_uv));
    float3 color = low + high;
    if (mask) {
        float m = LOAD(index, mask);
        color = over(over(low, background.xyz, m) + high, background.xyz, m);
    }
    write_imagef(image, pixel, (float4)(color * 0.5f + 0.5f, 1.0f));
}
