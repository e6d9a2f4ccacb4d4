#version 300 es
// A frame from the outputs of a frame graph with the external warp, for OpenGL ES 3.0 and later.
//
// Draw over a size x size viewport at the origin of a framebuffer: pixel (0, 0) is texel (0, 0),
// the top left of the frame. Everything is highp on purpose. mediump is half precision on Adreno,
// and a sampler without a precision is lowp, which may clamp a float texture to [-2, 2].
precision highp float;
precision highp int;

uniform highp sampler2D avatar;    // size x size, RGB: the person's texture
uniform highp sampler2D delta_uv;  // size x size, RG: displacement, R is x
uniform highp sampler2D rgb;       // size x size, RGB: low-frequency layer
uniform highp sampler2D mask;      // size x size, R: foreground; not read unless masked
uniform bool masked;               // false: keep the generated background
uniform vec3 background;           // in [-1, 1], -1 is black; ignored unless masked

out vec4 frame;

// The texel in column at.x and row at.y; zero outside, where texelFetch is undefined.
vec3 texel(ivec2 at, int size) {
    bool inside = at.x >= 0 && at.x < size && at.y >= 0 && at.y < size;
    return inside ? texelFetch(avatar, at, 0).rgb : vec3(0.0);
}

// The texture at pixel + d, bilinear: only d is a floating point number, never a coordinate.
vec3 warp(ivec2 pixel, vec2 delta) {
    int size = textureSize(avatar, 0).x;
    vec2 d = delta * (0.5 * float(size));
    vec2 whole = floor(d);
    vec2 part = d - whole;
    ivec2 at = pixel + ivec2(whole);
    vec3 upper = mix(texel(at, size), texel(at + ivec2(1, 0), size), part.x);
    vec3 lower = mix(texel(at + ivec2(0, 1), size), texel(at + ivec2(1, 1), size), part.x);
    return mix(upper, lower, part.y);
}

// Colour over background; -1 is black and 1 is white.
vec3 over(vec3 color, float amount) {
    return color * amount + background * (1.0 - amount);
}

void main() {
    ivec2 pixel = ivec2(gl_FragCoord.xy);
    vec3 low = texelFetch(rgb, pixel, 0).rgb;
    vec3 high = warp(pixel, texelFetch(delta_uv, pixel, 0).rg);
    vec3 color = low + high;
    if (masked) {
        float amount = texelFetch(mask, pixel, 0).r;
        color = over(over(low, amount) + high, amount);
    }
    frame = vec4(color * 0.5 + 0.5, 1.0);
}
