// Pictures of a video by number: browsers only know seconds.

// A hair is added, because seconds of whole pictures are seldom whole numbers of a computer.
export const frameOf = (video, fps) => Math.floor(video.currentTime * fps + 0.01);

// Land in the middle of the picture, where no rounding can reach its neighbour.
export function step(video, fps, by) {
  video.pause();
  const last = Math.max(0, Math.round((video.duration || 0) * fps) - 1);
  const wanted = Math.min(last, Math.max(0, frameOf(video, fps) + by));
  video.currentTime = (wanted + 0.5) / fps;
}
