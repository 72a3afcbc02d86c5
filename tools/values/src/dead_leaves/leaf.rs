//! One leaf: its shape, colour, shading and texture, and the style of picture that leaves share.

use std::ops::Range;

use crate::random::Random;

/// A colour in units of 8-bit values; not yet clamped.
type Colour = [f64; 3];

/// Colours that a picture's leaves vary.
const PALETTE: usize = 6;

/// What all leaves of a picture have in common.
pub struct Style {
    palette: [Colour; PALETTE],
    smallest: f64,
    largest: f64,
    /// Mean strength of texture in this picture.
    roughness: f64,
    /// Share of leaves with straight edges.
    angular: f64,
    pub blur_passes: usize,
    pub sensor_noise: i32,
}

impl Style {
    /// `side` is the picture's shorter side in samples.
    pub fn draw(random: &mut Random, side: f64) -> Self {
        let light = 119.0 + 32.0 * random.bell();
        let contrast = random.between(34.0, 86.0);
        let colourfulness = random.between(4.0, 26.0);
        let cast = [9.0 * random.bell(), 0.0, 11.0 * random.bell()];
        let palette =
            [(); PALETTE].map(|()| palette_colour(random, light, contrast, colourfulness, cast));
        let detail = random.unit();
        Self {
            palette,
            smallest: (side * (0.015 + 0.16 * detail)).max(2.5),
            largest: (side * random.between(0.6, 1.6)).max(5.0),
            roughness: 3.0 + 26.0 * random.unit() * random.unit(),
            angular: random.between(0.1, 0.6),
            blur_passes: usize::from(random.chance(0.3)),
            sensor_noise: random.below(5) as i32,
        }
    }

    /// Draws the next leaf; its centre may lie outside of the picture.
    pub fn leaf(&self, random: &mut Random, width: usize, height: usize) -> Leaf {
        let radius = random.power_law_radius(self.smallest, self.largest);
        let centre = [
            random.between(-radius, width as f64 + radius),
            random.between(-radius, height as f64 + radius),
        ];
        let shape = Shape::draw(random, self.angular);
        self.finish(random, centre, radius, shape)
    }

    /// A leaf that is larger than the picture.
    pub fn background(&self, random: &mut Random, width: usize, height: usize) -> Leaf {
        let centre = [width as f64 / 2.0, height as f64 / 2.0];
        let radius = width.max(height).max(1) as f64;
        self.finish(random, centre, radius, Shape::Ellipse { flattening: 1.0 })
    }

    fn finish(&self, random: &mut Random, centre: [f64; 2], radius: f64, shape: Shape) -> Leaf {
        let base = self.palette[random.below(PALETTE)];
        let light = 9.0 * random.bell();
        let tint = 3.0;
        let colour = base.map(|value| value + light + tint * random.bell());
        Leaf {
            centre,
            radius,
            axis: random.direction(),
            shape,
            colour,
            slope: [(); 2].map(|()| 15.0 * random.bell()),
            bulge: if random.chance(0.35) { random.between(-12.0, 34.0) } else { 0.0 },
            texture: Texture::draw(random, self.roughness),
        }
    }
}

/// Most of the variance of natural colours is along grey, then along blue-yellow, then along
/// green-magenta; the three weights follow that order.
fn palette_colour(
    random: &mut Random,
    light: f64,
    contrast: f64,
    colourfulness: f64,
    cast: Colour,
) -> Colour {
    let grey = light + contrast * random.bell();
    let blue_yellow = colourfulness * random.bell();
    let green_magenta = 0.45 * colourfulness * random.bell();
    [
        grey + 7.0 + blue_yellow + green_magenta + cast[0],
        grey + 1.0 - green_magenta + 0.1 * blue_yellow + cast[1],
        grey - 9.0 - blue_yellow + green_magenta + cast[2],
    ]
}

/// Shapes in a leaf's own coordinates, where its radius is 1.
enum Shape {
    Ellipse {
        flattening: f64,
    },
    /// Between an ellipse and a rectangle: a curve of the fourth degree.
    Rounded {
        flattening: f64,
    },
    Rectangle {
        flattening: f64,
    },
    /// Points with `normal . point <= distance` for each side.
    Polygon {
        sides: Vec<([f64; 2], f64)>,
    },
}

impl Shape {
    fn draw(random: &mut Random, angular: f64) -> Self {
        let flattening = random.between(0.4, 1.0);
        let straight = random.chance(angular);
        match (straight, random.below(2)) {
            (false, 0) => Self::Ellipse { flattening },
            (false, _) => Self::Rounded { flattening },
            (true, 0) => Self::Rectangle { flattening: 0.7 * flattening },
            (true, _) => Self::polygon(random),
        }
    }

    fn polygon(random: &mut Random) -> Self {
        let count = 3 + random.below(4);
        let sides = (0..count).map(|_| (random.direction(), random.between(0.25, 0.85))).collect();
        Self::Polygon { sides }
    }

    fn covers(&self, [u, v]: [f64; 2]) -> bool {
        match self {
            Self::Ellipse { flattening } => {
                let v = v / flattening;
                u * u + v * v <= 1.0
            }
            Self::Rounded { flattening } => {
                let (u2, v2) = (u * u, v * v / (flattening * flattening));
                u2 * u2 + v2 * v2 <= 1.0
            }
            Self::Rectangle { flattening } => u.abs() <= 1.0 && v.abs() <= *flattening,
            Self::Polygon { sides } => {
                u * u + v * v <= 1.0
                    && sides.iter().all(|([a, b], distance)| a * u + b * v <= *distance)
            }
        }
    }
}

/// Variation of lightness inside a leaf.
struct Texture {
    kind: TextureKind,
    amplitude: f64,
    /// Cells of the coarsest noise in samples.
    cell: f64,
    hash: u32,
}

enum TextureKind {
    Smooth,
    /// Noise of three scales.
    Cloud,
    /// Noise stretched along the leaf's axis: bark, grass, cloth.
    Grain,
    /// Regular bands across the axis, disturbed by noise.
    Bands,
}

impl Texture {
    fn draw(random: &mut Random, roughness: f64) -> Self {
        let kind = match random.below(8) {
            0 | 1 => TextureKind::Smooth,
            2..=4 => TextureKind::Cloud,
            5 | 6 => TextureKind::Grain,
            _ => TextureKind::Bands,
        };
        Self {
            kind,
            amplitude: roughness * random.between(0.3, 1.7),
            cell: random.power_law_radius(3.0, 40.0),
            hash: random.bits(),
        }
    }

    /// Change of lightness at a position in samples along and across the leaf's axis.
    fn at(&self, along: f64, across: f64) -> f64 {
        let (a, b) = (along / self.cell, across / self.cell);
        let value = match self.kind {
            TextureKind::Smooth => 0.0,
            TextureKind::Cloud => self.octaves(a, b),
            TextureKind::Grain => self.octaves(0.2 * a, 1.5 * b),
            TextureKind::Bands => {
                let phase = 0.5 * b + 0.6 * self.noise(0.3 * a, 0.3 * b, 0);
                let triangle = 4.0 * (phase - phase.floor() - 0.5).abs() - 1.0;
                0.8 * triangle + 0.4 * self.noise(2.0 * a, 2.0 * b, 1)
            }
        };
        self.amplitude * value
    }

    fn octaves(&self, a: f64, b: f64) -> f64 {
        self.noise(a, b, 0)
            + 0.6 * self.noise(2.1 * a, 2.1 * b, 1)
            + 0.4 * self.noise(4.3 * a, 4.3 * b, 2)
    }

    /// Value noise in [-1, 1]: random values at integer positions, smoothly interpolated.
    fn noise(&self, a: f64, b: f64, octave: u32) -> f64 {
        let (a0, b0) = (a.floor(), b.floor());
        let (s, t) = (smooth_step(a - a0), smooth_step(b - b0));
        let (column, row) = (a0 as i32, b0 as i32);
        let value =
            |dx, dy| lattice(column.wrapping_add(dx), row.wrapping_add(dy), self.hash ^ octave);
        let top = value(0, 0) + s * (value(1, 0) - value(0, 0));
        let bottom = value(0, 1) + s * (value(1, 1) - value(0, 1));
        top + t * (bottom - top)
    }
}

fn smooth_step(t: f64) -> f64 {
    t * t * (3.0 - 2.0 * t)
}

/// A value in [-1, 1) for a lattice point.
fn lattice(column: i32, row: i32, seed: u32) -> f64 {
    let mut hash = seed ^ (column as u32).wrapping_mul(0x9E37_79B1);
    hash = (hash ^ (hash >> 15)).wrapping_mul(0x85EB_CA6B);
    hash ^= (row as u32).wrapping_mul(0xC2B2_AE35);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0x27D4_EB2F);
    f64::from((hash ^ (hash >> 16)) as i32) / 2_147_483_648.0
}

/// An opaque, shaded and textured shape.
pub struct Leaf {
    centre: [f64; 2],
    radius: f64,
    axis: [f64; 2],
    shape: Shape,
    colour: Colour,
    /// Change of lightness from the centre to the rim along and across the axis.
    slope: [f64; 2],
    /// Darkening from the centre to the rim.
    bulge: f64,
    texture: Texture,
}

impl Leaf {
    /// Columns and rows of the picture that the leaf may touch.
    pub fn bounds(&self, width: usize, height: usize) -> (Range<usize>, Range<usize>) {
        // A shape's corner lies at most sqrt(2) radii from the centre.
        let reach = 1.5 * self.radius + 1.0;
        let range = |centre: f64, size: usize| {
            let first = (centre - reach).max(0.0) as usize;
            let end = ((centre + reach).max(0.0) as usize + 1).min(size);
            first.min(end)..end
        };
        (range(self.centre[0], width), range(self.centre[1], height))
    }

    /// The sample's place in the leaf's own coordinates.
    pub fn local(&self, x: usize, y: usize) -> [f64; 2] {
        let (dx, dy) = (x as f64 - self.centre[0], y as f64 - self.centre[1]);
        let [c, s] = self.axis;
        [(c * dx + s * dy) / self.radius, (c * dy - s * dx) / self.radius]
    }

    pub fn local_if_covered(&self, x: usize, y: usize) -> Option<[f64; 2]> {
        let local = self.local(x, y);
        self.shape.covers(local).then_some(local)
    }

    pub fn colour_at(&self, [u, v]: [f64; 2]) -> [u8; 3] {
        let shade = self.slope[0] * u + self.slope[1] * v - self.bulge * (u * u + v * v);
        let light = shade + self.texture.at(u * self.radius, v * self.radius);
        // Light multiplies a surface's colour: darker surfaces vary less.
        let gain = 1.0 + light / 128.0;
        self.colour.map(|value| (value * gain).clamp(0.0, 255.0) as u8)
    }
}
